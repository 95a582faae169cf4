"""The options of `pipelines.train`, and those of labels, which `pipelines.predict` shares."""

import argparse
import dataclasses
import functools
from typing import Final

from pipelines.options.types import add_flag, positive
from schemas.classifiers import (
    ACTIVATIONS,
    CLASS_WEIGHTS,
    LBFGS,
    MAP_REDUCTIONS,
    OPTIMIZERS,
    RECIPES,
    Recipe,
    parse_field,
)
from transforms.training import LABEL, SplitBy

ALL_LAYERS: Final = "all"

# The option of each field of a recipe, its values' name, and what it does. Defaults stand in `Recipe`.
_RECIPE_OPTIONS: Final = {
    "hidden": ("N,N", "units of the hidden layers; 0 for none"),
    "activation": (None, "activation of the hidden layers"),
    "dropout": ("R", "share dropped after each hidden layer, or of the features where there is none"),
    "l2": ("X", "weight of the L2 penalty on every kernel; chosen by validation for lbfgs unless named"),
    "standardise": ("true|false", "bring features to mean 0 and variance 1, as the training part has them"),
    "map_reduction": (None, "how a feature map is reduced (a store with --pooling=none)"),
    "optimizer": (None, "lbfgs, for a linear classifier without dropout, or a Keras optimizer"),
    "learning_rate": ("X", "learning rate; chosen by the number of features unless named"),
    "batch_size": ("N", "images an update; chosen by the number of images unless named"),
    "epochs": ("N", "most passes over the training part"),
    "patience": (
        "N",
        "epochs without a lower validation loss after which training stops, the best weights kept; 0 trains to the end",
    ),
    "class_weight": (None, "balanced: rare classes weigh as much as frequent ones"),
    "seed": ("N", "seed of initial weights, shuffling and dropout; nothing of lbfgs is random"),
}
# What makes a training one in epochs, and with which value where it is not named.
_IN_EPOCHS: Final = ("dropout", "epochs", "patience")
_CHOICES: Final = {
    "activation": ACTIVATIONS,
    "map_reduction": MAP_REDUCTIONS,
    "optimizer": (LBFGS, *OPTIMIZERS),
    "class_weight": CLASS_WEIGHTS,
}


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which features are learned from."""
    group = parser.add_argument_group("features")
    group.add_argument(
        "--features",
        metavar="STORE",
        required=True,
        action="append",
        help="the feature store; several are compared on the images that all of them have, and the best one's "
        "classifier is kept",
    )
    group.add_argument(
        "--table_version", type=int, metavar="N", help="the version of its table `features` (default: the newest)"
    )
    layers = group.add_mutually_exclusive_group()
    layers.add_argument("--layer", metavar="NAME", help="the feature column (default: the only one)")
    layers.add_argument(
        "--layers",
        metavar="NAME,NAME",
        help=f"several feature columns, or {ALL_LAYERS}: a classifier is trained on each, the best by validation kept",
    )
    group.add_argument(
        "--fingerprint", metavar="HEX", help="refuse a store whose features have another fingerprint than this"
    )
    group.add_argument("--conv_base", metavar="NAME", help="refuse a store whose features are of another conv base")
    group.add_argument(
        "--memory_mb",
        type=positive,
        metavar="N",
        help="most megabytes of features in memory; a larger table is streamed (default: half of what is free)",
    )


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where the labels are."""
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="a .csv, .jsonl or .parquet manifest with `uri` and `label`, joined on uri (default: the table's labels)",
    )
    group.add_argument(
        "--label_column",
        default=LABEL,
        metavar="NAME",
        help=f"the column of the labels; lists of strings make a multi-label classifier (default: {LABEL}, or labels, "
        "where these are lists and no image has a single one)",
    )


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which images train, validate and test."""
    group = parser.add_argument_group("split")
    group.add_argument(
        "--split",
        choices=[str(choice) for choice in SplitBy],
        default=str(SplitBy.AUTO),
        help="column: the table's column `split`; hash: by the hash of the image, which never changes sides; auto: the "
        "column where any image has a split (default: auto)",
    )
    for name in ("validation", "test"):
        group.add_argument(
            f"--{name}_fraction", type=float, default=0.2, metavar="R", help=f"share of the {name} part (default: 0.2)"
        )


def add_duplicate_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what becomes of near-duplicates."""
    group = parser.add_argument_group("near-duplicates, by the duplicates.parquet of pipelines.explore")
    group.add_argument(
        "--drop_duplicates",
        metavar="FILE",
        help="leave out near-duplicates, but for the one of each group that is kept",
    )
    group.add_argument(
        "--split_groups",
        metavar="FILE",
        help="keep the images of a group in one part where images are split by hash, and in one fold",
    )


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the recipe. None of them has a default here: what is not given, the recipe decides."""
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        default="default",
        help="where the other options start from: default is a linear probe by L-BFGS, unless an option that belongs "
        "to a training in epochs (hidden, dropout, another optimizer, learning_rate, batch_size, epochs, patience) "
        "makes it one; dropout is a linear classifier by Adam with half of the features dropped; book is Chollet, Deep "
        "Learning with Python, 5.3 (default: default)",
    )
    for name, (metavar, text) in _RECIPE_OPTIONS.items():
        shown = getattr(RECIPES["dropout" if name in _IN_EPOCHS else "default"], name)
        where = " in epochs" if name in _IN_EPOCHS else ""
        shown_text = ",".join(map(str, shown)) or "none" if isinstance(shown, tuple) else str(shown)
        group.add_argument(
            f"--{name}",
            type=functools.partial(_field_value, name),
            choices=_CHOICES.get(name),
            metavar=metavar,
            help=text + ("" if shown is None else f" (default{where}: {shown_text.lower()})"),
        )
    group.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=V,V",
        help="try these values of an option of the recipe, in every combination with those of further --sweep; the "
        "best by validation is kept; several hidden layers are joined by +, as in hidden=64,256+64",
    )


def add_classifier_output(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where a classifier is written."""
    parser.add_argument("--output", metavar="URI", required=True, help="the folder of the classifier; it is made")
    add_flag(
        parser,
        "--overwrite",
        "replace the classifier that is in --output, all at once, when the new one is finished",
        default=False,
    )


def recipe_of(given: argparse.Namespace) -> Recipe:
    """Returns the recipe that was asked for.

    Raises:
        InvalidRecipe: If a value is not allowed.
    """
    changes = {name: getattr(given, name) for name in _RECIPE_OPTIONS if getattr(given, name) is not None}
    return dataclasses.replace(RECIPES[given.recipe], **changes)


def _field_value(name: str, text: str) -> object:
    return parse_field(name, text.replace(",", "+") if name == "hidden" else text)
