"""The options of `pipelines.finetune`."""

import argparse
import dataclasses
from typing import Any, Final

from pipelines.option_types import positive, ratio, true_or_false
from pipelines.options import add_flag
from schemas.augmentation import Augmentation
from schemas.fine_tuning import DECAYS, FineTuning
from schemas.recipes import CLASS_WEIGHTS, OPTIMIZERS

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
    "seed": (int, "N", None, "seed of shuffling, dropout and augmentation"),
}
_RANGES: Final = {
    "rotation": (float, "DEGREES", "turned by up to as much, either way"),
    "width_shift": (ratio, "R", "moved sideways by up to this share of the width, either way"),
    "height_shift": (ratio, "R", "moved up or down by up to this share of the height"),
    "shear": (float, "DEGREES", "sheared by up to as much, either way"),
    "zoom": (ratio, "R", "zoomed by a factor between 1 - R and 1 + R, each side on its own"),
    "flip_horizontal": (true_or_false, "true|false", "every second copy is mirrored"),
    "flip_vertical": (true_or_false, "true|false", "every second copy is put on its head"),
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


def add_range_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the random copies that each epoch sees."""
    group = parser.add_argument_group("augmentation (each epoch sees another copy of each picture)")
    group.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train on random copies of the pictures, or with --no-augment on the pictures alone (default: augment)",
    )
    defaults = {field.name: field.default for field in dataclasses.fields(Augmentation)}
    for name, (kind, metavar, meaning) in _RANGES.items():
        default = str(defaults[name]).lower() if kind is true_or_false else f"{defaults[name]:g}"
        group.add_argument(f"--augment_{name}", type=kind, metavar=metavar, help=f"{meaning} (default: {default})")


def fine_tuning_of(given: argparse.Namespace, class_weight: str, *, mixed_precision: bool) -> FineTuning:
    """Returns how base and head are to be trained.

    Args:
        given: The options.
        class_weight: How classes are weighted where the options do not say.
        mixed_precision: Whether the base computes in bfloat16 where the options do not say.

    Raises:
        InvalidRecipe: If a value is not allowed.
        InvalidSpec: If a range of the augmentation is not.
    """
    ranges = {name: getattr(given, f"augment_{name}") for name in _RANGES}
    ranges = {name: value for name, value in ranges.items() if value is not None}
    return FineTuning(
        unfreeze_from=given.unfreeze_from,
        class_weight=given.class_weight or class_weight,
        mixed_precision=mixed_precision if given.mixed_precision is None else given.mixed_precision,
        augmentation=Augmentation(**ranges, seed=given.seed) if given.augment else None,
        **{name: getattr(given, name) for name in _FIELDS},
    )
