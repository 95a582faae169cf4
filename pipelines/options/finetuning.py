"""The options of `pipelines.finetune`."""

import argparse
import dataclasses
from typing import Any, Final

from pipelines.options.augmentation import add_range_options, asked_ranges
from pipelines.options.types import add_flag, positive
from schemas.augmentation import Augmentation
from schemas.classifiers import CLASS_WEIGHTS, DECAYS, OPTIMIZERS, FineTuning
from schemas.errors import UsageError
from schemas.spec import augmentation_option

# The type of each field of `FineTuning`, its value's name, its choices, and what it does. Defaults stand there.
_FIELDS: Final[dict[str, tuple[Any, str | None, tuple[str, ...] | None, str]]] = {
    "learning_rate": (float, "X", None, "learning rate, at the most"),
    "warmup_epochs": (int, "N", None, "epochs over which the learning rate rises from 0"),
    "decay": (str, None, DECAYS, "cosine lets the learning rate fall to 0 until the last of --epochs"),
    "optimizer": (str, None, OPTIMIZERS, "Keras optimizer"),
    "epochs": (positive, "N", None, "most passes over the training part"),
    "patience": (
        int,
        "N",
        None,
        "epochs without a lower validation loss after which training stops, the best weights kept; 0 trains to the end",
    ),
    "batch_size": (positive, "N", None, "images an update"),
    "seed": (int, "N", None, "seed of shuffling and dropout"),
}


def add_finetuning_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how base and head are trained together."""
    group = parser.add_argument_group("fine-tuning")
    group.add_argument(
        "--unfreeze_from",
        metavar="LAYER",
        required=True,
        help="the layer of the conv base that is trained, and all that follow; batch normalisation stays as it is",
    )
    defaults = {field.name: field.default for field in dataclasses.fields(FineTuning)}
    for name, (kind, metavar, choices, meaning) in _FIELDS.items():
        group.add_argument(
            f"--{name}",
            type=kind,
            metavar=metavar,
            choices=choices,
            default=defaults[name],
            help=f"{meaning} (default: {defaults[name]})",
        )
    group.add_argument(
        "--class_weight",
        choices=CLASS_WEIGHTS,
        help="balanced: rare classes weigh as much as frequent ones (default: as the classifier was trained)",
    )
    add_flag(
        group,
        "--mixed_precision",
        "compute the base in bfloat16, with weights in float32 (default: where there is a GPU that does)",
    )
    add_flag(group, "--untrained_head", "begin although the head has learned nothing yet", default=False)


def add_copy_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the augmented copies that each epoch sees."""
    group = parser.add_argument_group("augmentation (each epoch sees another copy of each picture)")
    group.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train on augmented copies of the pictures, or with --no-augment on the pictures alone (default: augment)",
    )
    add_range_options(group)


def fine_tuning_of(given: argparse.Namespace, class_weight: str, *, mixed_precision: bool) -> FineTuning:
    """Returns how base and head are to be trained.

    Args:
        given: The options.
        class_weight: How classes are weighted where the options do not say.
        mixed_precision: Whether the base computes in bfloat16 where the options do not say.

    Raises:
        InvalidRecipe: If a value is not allowed.
        InvalidSpec: If a range of the augmentation is not.
        UsageError: If ranges are given where there are no copies.
    """
    ranges = asked_ranges(given)
    if ranges and not given.augment:
        option = augmentation_option(next(iter(ranges)))
        raise UsageError(f"--{option} says what augmented copies are like; leave --no-augment out to train on them.")
    return FineTuning(
        unfreeze_from=given.unfreeze_from,
        class_weight=given.class_weight or class_weight,
        mixed_precision=mixed_precision if given.mixed_precision is None else given.mixed_precision,
        augmentation=Augmentation(**ranges) if given.augment else None,
        **{name: getattr(given, name) for name in _FIELDS},
    )
