"""Augmented copies of a picture: as Keras makes them, and the same ones whenever they are asked for."""

import numpy as np
import pytest
from PIL import Image

from schemas.augmentation import Augmentation
from schemas.errors import InvalidSpec
from transforms.images import augmented
from transforms.images.augmentation import affine, affine_to_source

_SHA256 = "ab" * 32


def _picture(height: int, width: int) -> np.ndarray:
    """Coarse random blobs, blurred: uint8 [height, width, 3]."""
    blobs = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8))
    return np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("rotation", "right", "down", "shear", "zooms"),
    [
        (0.0, 0.0, 0.0, 0.0, (1.0, 1.0)),
        (30.0, 0.0, 0.0, 0.0, (1.0, 1.0)),
        (0.0, 7.0, -11.0, 0.0, (1.0, 1.0)),
        (0.0, 0.0, 0.0, 20.0, (1.0, 1.0)),
        (0.0, 0.0, 0.0, 0.0, (0.8, 1.2)),
        (-38.0, 9.5, 12.25, 15.0, (1.2, 0.85)),
    ],
)
def test_a_copy_is_the_one_of_keras(
    rotation: float, right: float, down: float, shear: float, zooms: tuple[float, float]
) -> None:
    from keras.src.legacy.preprocessing.image import apply_affine_transform

    pixels = _picture(52, 52)
    ours = affine(pixels, affine_to_source(52, 52, rotation=rotation, right=right, down=down, shear=shear, zooms=zooms))
    keras = apply_affine_transform(
        pixels.astype(np.float32), rotation, right, down, shear, *zooms, row_axis=0, col_axis=1, channel_axis=2
    )
    assert np.abs(ours - keras).max() <= 1.01


def test_a_picture_that_is_no_square_is_turned_about_its_centre() -> None:
    pixels = _picture(40, 60)
    upside_down = affine(pixels, affine_to_source(40, 60, rotation=180, right=0, down=0, shear=0, zooms=(1, 1)))
    assert np.abs(upside_down.astype(int) - pixels[::-1, ::-1]).max() <= 1


def test_copies_depend_on_picture_index_and_seed_and_on_nothing_else() -> None:
    pixels = _picture(40, 40)
    copy = augmented(pixels, Augmentation(), _SHA256, 1)
    assert np.array_equal(copy, augmented(pixels, Augmentation(), _SHA256, 1))
    assert not np.array_equal(copy, augmented(pixels, Augmentation(), _SHA256, 2))
    assert not np.array_equal(copy, augmented(pixels, Augmentation(), "cd" * 32, 1))
    assert not np.array_equal(copy, augmented(pixels, Augmentation(seed=1), _SHA256, 1))


def test_index_0_is_the_picture_itself() -> None:
    pixels = _picture(40, 40)
    assert np.array_equal(augmented(pixels, Augmentation(), _SHA256, 0), pixels)


@pytest.mark.parametrize(("flips", "axis"), [({"flip_horizontal": True}, 1), ({"flip_vertical": True}, 0)])
def test_every_second_copy_is_mirrored(flips: dict[str, bool], axis: int) -> None:
    still = {"rotation": 0.0, "width_shift": 0.0, "height_shift": 0.0, "shear": 0.0, "zoom": 0.0}
    augmentation = Augmentation(**{"flip_horizontal": False, **still, **flips})  # type: ignore[arg-type]
    pixels = _picture(24, 24)
    copies = [augmented(pixels, augmentation, _SHA256, index) for index in range(1, 101)]
    mirrored = [np.array_equal(copy, np.flip(pixels, axis)) for copy in copies]
    assert all(
        np.array_equal(copy, pixels) for copy, is_mirrored in zip(copies, mirrored, strict=True) if not is_mirrored
    )
    assert 30 <= sum(mirrored) <= 70


def test_all_ranges_are_reached_and_kept() -> None:
    """A bright dot moves by up to the shift, to both sides."""
    still = Augmentation(rotation=0, width_shift=0.25, height_shift=0, shear=0, zoom=0, flip_horizontal=False)
    pixels = np.zeros((9, 101, 3), np.uint8)
    pixels[:, 50] = 255
    rows = [augmented(pixels, still, _SHA256, index)[4, :, 0].astype(float) for index in range(1, 200)]
    places = np.array([np.average(np.arange(101), weights=row) for row in rows]) - 50
    assert np.abs(places).max() <= 25.3
    assert places.min() < -23
    assert places.max() > 23


@pytest.mark.parametrize("ranges", [{"rotation": 181}, {"zoom": 1}, {"width_shift": -0.1}, {"shear": 61}, {"seed": -1}])
def test_ranges_that_cannot_be_are_refused(ranges: dict[str, float]) -> None:
    with pytest.raises(InvalidSpec, match=f"The {next(iter(ranges))} of the augmentation is"):
        Augmentation(**ranges)  # type: ignore[arg-type]


def test_ranges_survive_json() -> None:
    augmentation = Augmentation(rotation=5, seed=7)
    assert Augmentation.from_dict(augmentation.to_dict()) == augmentation
