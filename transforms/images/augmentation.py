"""Augmenting: a decoded picture in, one of its augmented copies out; the same one whenever it is asked for again."""

import math

import numpy as np
from PIL import Image

from schemas.augmentation import Augmentation


def augmented(pixels: np.ndarray, augmentation: Augmentation, sha256: str, index: int) -> np.ndarray:
    """Returns a copy of a picture that is turned, moved, sheared, zoomed and mirrored at random.

    The copy depends on nothing but the arguments. What comes into view beyond the edges repeats them, as
    `fill_mode="nearest"` does in Keras.

    Args:
        pixels: uint8 [H, W, 3].
        augmentation: The ranges.
        sha256: SHA-256 of the picture's file, in hex.
        index: The number of the copy; 0 is the picture itself.

    Returns:
        uint8 [H, W, 3].
    """
    if index == 0:
        return pixels
    height, width, _ = pixels.shape
    random = np.random.Generator(np.random.Philox([augmentation.seed, index, int(sha256[:32], 16)]))
    to_source = _random_affine(random, augmentation, height, width)
    flip_horizontal, flip_vertical = random.random(2) < 0.5
    copy = affine(pixels, to_source)
    if augmentation.flip_horizontal and flip_horizontal:
        copy = copy[:, ::-1]
    if augmentation.flip_vertical and flip_vertical:
        copy = copy[::-1]
    return np.ascontiguousarray(copy)


def _random_affine(random: np.random.Generator, augmentation: Augmentation, height: int, width: int) -> np.ndarray:
    rotation, shear, down, right = random.uniform(-1, 1, 4)
    zooms = random.uniform(1 - augmentation.zoom, 1 + augmentation.zoom, 2)
    return affine_to_source(
        height,
        width,
        rotation=rotation * augmentation.rotation,
        down=down * augmentation.height_shift * height,
        right=right * augmentation.width_shift * width,
        shear=shear * augmentation.shear,
        zooms=(zooms[0], zooms[1]),
    )


def affine_to_source(
    height: int, width: int, *, rotation: float, down: float, right: float, shear: float, zooms: tuple[float, float]
) -> np.ndarray:
    """Returns where the pixels of a copy lie in its picture, about the picture's centre.

    The matrices, their order and their signs are those of Keras's `apply_affine_transform` (which takes the centre of a
    picture that is no square for another point).

    Args:
        height: Pixels.
        width: Pixels.
        rotation: Degrees.
        down: Pixels.
        right: Pixels.
        shear: Degrees.
        zooms: Factors of columns and rows; above 1 the picture gets smaller.

    Returns:
        float64 [3, 3], from homogeneous (column, row) of the copy to those of the picture.
    """
    turn, slant = math.radians(rotation), math.radians(shear)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    matrix: np.ndarray = np.linalg.multi_dot(
        [
            np.array([[1, 0, centre_x], [0, 1, centre_y], [0, 0, 1]]),
            np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]]),
            np.array([[1, 0, right], [0, 1, down], [0, 0, 1]]),
            np.array([[1, -math.sin(slant), 0], [0, math.cos(slant), 0], [0, 0, 1]]),
            np.diag([*zooms, 1.0]),
            np.array([[1, 0, -centre_x], [0, 1, -centre_y], [0, 0, 1]]),
        ]
    )
    return matrix


def affine(pixels: np.ndarray, to_source: np.ndarray) -> np.ndarray:
    """Moves the pixels of a picture, interpolated between four neighbours; its edges are repeated outside.

    Args:
        pixels: uint8 [H, W, 3].
        to_source: float64 [3, 3], from homogeneous (column, row) of the result to those of `pixels`.

    Returns:
        uint8 [H, W, 3].
    """
    height, width, _ = pixels.shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    columns, rows, _ = to_source @ corners
    left, top = (max(0, math.ceil(-places.min())) + 2 for places in (columns, rows))
    right, bottom = (max(0, math.ceil(places.max() - side)) + 2 for places, side in ((columns, width), (rows, height)))
    padded = Image.fromarray(np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="edge"))
    # `to_source` counts from the centre of the first pixel, Pillow from its corner.
    (a, b, c), (d, e, f), _ = to_source
    coefficients = (a, b, c + left + (1 - a - b) / 2, d, e, f + top + (1 - d - e) / 2)
    moved = padded.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    copy: np.ndarray = np.asarray(moved)
    return copy
