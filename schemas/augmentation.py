"""`Augmentation`: within which ranges copies of a picture are turned, moved, sheared, zoomed and mirrored.

`AugmentedRows` says besides how many of them have features.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from schemas.errors import InvalidSpec
from schemas.serialisation import Serialisable


@dataclasses.dataclass(frozen=True)
class Augmentation(Serialisable):
    """The ranges of random transformations.

    The defaults are those of Chollet, *Deep Learning with Python* (2017), section 5.2.5, with the meaning that Keras's
    `ImageDataGenerator` gives them.

    Attributes:
        rotation: Degrees; a picture is turned by up to as many, either way.
        width_shift: Moved sideways by up to this share of its width, either way.
        height_shift: Moved up or down by up to this share of its height.
        shear: Degrees; sheared by up to as many, either way.
        zoom: Zoomed by a factor between 1 - zoom and 1 + zoom, each side on its own.
        flip_horizontal: Whether a copy is flipped left to right, with probability one half.
        flip_vertical: Whether a copy is flipped upside down, with probability one half.
        seed: Another seed gives other copies.
    """

    rotation: float = 40.0
    width_shift: float = 0.2
    height_shift: float = 0.2
    shear: float = 0.2
    zoom: float = 0.2
    flip_horizontal: bool = True
    flip_vertical: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            InvalidSpec: If one cannot be.
        """
        for name, most in (("rotation", 180), ("shear", 60), ("width_shift", 1), ("height_shift", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise InvalidSpec(
                    f"The {name} of the augmentation is {getattr(self, name):g}; it goes from 0 to {most}."
                )
        if not 0 <= self.zoom < 1:
            raise InvalidSpec(f"The zoom of the augmentation is {self.zoom:g}; it goes from 0 to below 1.")
        if self.seed < 0:
            raise InvalidSpec(f"The seed of the augmentation is {self.seed}; it is at least 0.")


@dataclasses.dataclass(frozen=True)
class AugmentedRows(Augmentation):
    """The further rows of a store's training images: how many, and the ranges of their pictures.

    Attributes:
        rows: Rows of each training image besides that of the picture itself; at least 1.
    """

    rows: int = 1

    def __post_init__(self) -> None:
        """Checks all of it.

        Raises:
            InvalidSpec: If a range or the number of rows cannot be.
        """
        super().__post_init__()
        if self.rows < 1:
            raise InvalidSpec(f"The rows of the augmentation are {self.rows}; a training image has at least 1.")


# What a store without an augmentation says when it is compared with one.
NO_ROWS: Final[Mapping[str, Any]] = {"rows": 0}
