"""The options of augmentation: how many augmented copies of a picture there are, and within which ranges."""

import argparse
import dataclasses
from typing import Any, Final

from pipelines.options.types import not_negative, number, ratio, true_or_false
from schemas.augmentation import Augmentation
from schemas.errors import UsageError
from schemas.spec import augmentation_option

# The type of each range, its value's name, and what it does. Defaults stand in `Augmentation`.
_RANGES: Final = {
    "rotation": (number, "DEGREES", "turned by up to as much, either way"),
    "width_shift": (ratio, "R", "moved sideways by up to this share of the width, either way"),
    "height_shift": (ratio, "R", "moved up or down by up to this share of the height"),
    "shear": (number, "DEGREES", "sheared by up to as much, either way"),
    "zoom": (ratio, "R", "zoomed by a factor between 1 - R and 1 + R, each side on its own"),
    "flip_horizontal": (true_or_false, "true|false", "a copy is flipped left to right with probability one half"),
    "flip_vertical": (true_or_false, "true|false", "a copy is flipped upside down with probability one half"),
    "seed": (not_negative, "N", "another seed gives other copies"),
}


def add_augmentation_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a store's augmentation. What is not given, the store decides."""
    group = parser.add_argument_group("augmentation (where the store exists, what is not given is read from it)")
    group.add_argument(
        "--augment",
        type=not_negative,
        metavar="N",
        help="further rows of each training image, of augmented copies of its picture: training images are those whose "
        "`split` is train, or that pipelines.train would train on by hash if they have none (default: 0)",
    )
    add_range_options(group)


def add_range_options(group: "argparse._ArgumentGroup") -> None:
    """Adds the ranges of augmented copies, as Chollet, *Deep Learning with Python*, 5.2.5, has them."""
    defaults = {field.name: field.default for field in dataclasses.fields(Augmentation)}
    for name, (kind, metavar, meaning) in _RANGES.items():
        is_flag = kind is true_or_false
        default = str(defaults[name]).lower() if is_flag else f"{defaults[name]:g}"
        group.add_argument(
            f"--{augmentation_option(name)}",
            nargs="?" if is_flag else None,
            const=True if is_flag else None,
            type=kind,
            metavar=metavar,
            help=f"{meaning} (default: {default})",
        )


def asked_ranges(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of `Augmentation` that were given."""
    values = {name: getattr(given, augmentation_option(name)) for name in _RANGES}
    return {name: value for name, value in values.items() if value is not None}


def asked_augmentation(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of `AugmentedRows` that were given.

    Raises:
        UsageError: If ranges are given, and not how many copies there are.
        InvalidSpec: If a range is none.
    """
    ranges = asked_ranges(given)
    if ranges and not given.augment:
        option = augmentation_option(next(iter(ranges)))
        raise UsageError(f"--{option} says what augmented copies are like; say with --augment=N how many there are.")
    Augmentation(**ranges)
    return ranges if given.augment is None else {"rows": given.augment, **ranges}
