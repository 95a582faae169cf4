"""Where pictures go in a frame: as torchvision crops, with their proportions kept, whatever their sides."""

import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transforms.decoding import DecodingRules, decode_image
from transforms.preprocessing import placed

SIDES = st.integers(1, 70_000)
FRAMES = st.tuples(st.integers(1, 600), st.integers(1, 600))


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=95)
    return stream.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def as_torchvision_does(pixels: np.ndarray, resized: int, side: int) -> np.ndarray:
    """`Resize(resized)`, then `CenterCrop(side)`, by its source (`_compute_resized_output_size`, `center_crop`)."""
    height, width = pixels.shape[:2]
    short, long = sorted((width, height))
    larger = int(resized * long / short)
    size = (resized, larger) if width <= height else (larger, resized)
    whole = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    top, left = round((size[1] - side) / 2), round((size[0] - side) / 2)
    return whole[top : top + side, left : left + side]


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 301), (256, 256), (97, 61), (224, 224)])
def test_a_crop_is_that_of_torchvision(height: int, width: int) -> None:
    pixels = noise(height, width)
    rules = DecodingRules(224, 224, resize="crop", crop_ratio=0.875)
    expected = as_torchvision_does(pixels, 256, 224).astype(int)
    difference = np.abs(decode_image(encoded(pixels), rules).pixels.astype(int) - expected)
    assert difference.max() <= 1, "To the rounding of a pixel."
    assert (difference > 0).mean() < 0.05


def test_a_crop_of_all_takes_the_largest_middle() -> None:
    pixels = noise(50, 80)
    taken = decode_image(encoded(pixels), DecodingRules(50, 50, resize="crop"))
    np.testing.assert_array_equal(taken.pixels, pixels[:, 15:65])
    assert (taken.width, taken.height) == (80, 50)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(40, 80, 32, 64), (80, 40, 64, 32), (64, 64, 64, 64)])
def test_a_padded_picture_is_whole_in_the_middle_of_black(height: int, width: int, rows: int, columns: int) -> None:
    pixels = np.maximum(noise(height, width), 1)
    found = decode_image(encoded(pixels), DecodingRules(64, 64, resize="pad")).pixels
    top, left = (64 - rows) // 2, (64 - columns) // 2
    expected = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found[top : top + rows, left : left + columns], np.asarray(expected))
    found = found.copy()
    found[top : top + rows, left : left + columns] = 0
    assert not found.any()


@given(SIDES, SIDES, FRAMES, st.floats(0.05, 1))
def test_whatever_the_picture_its_part_is_within_it(
    width: int, height: int, frame: tuple[int, int], crop_ratio: float
) -> None:
    for resize in ("stretch", "crop", "pad"):
        placement = placed((width, height), frame, resize, crop_ratio if resize == "crop" else 1.0)
        left, top, right, bottom = placement.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert all(1 <= side <= most for side, most in zip(placement.size, frame, strict=True))
        assert all(
            0 <= start <= most - side for start, side, most in zip(placement.offset, placement.size, frame, strict=True)
        )


@pytest.mark.parametrize("resize", ["crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1)])
def test_a_picture_of_one_row_costs_no_more_than_another(resize: str, shape: tuple[int, int]) -> None:
    started = time.process_time()
    decode_image(encoded(noise(*shape)), DecodingRules(224, 224, resize=resize))
    assert time.process_time() - started < 1, "Resized whole it would have 13 million columns."


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_decoder_scales_no_further_than_twice_what_is_wanted(resize: str) -> None:
    smooth = np.asarray(Image.fromarray(noise(12, 16)).resize((1600, 1200), Image.Resampling.BICUBIC))
    data = encoded(smooth, "JPEG")
    exact, scaled = (
        decode_image(data, DecodingRules(96, 96, resize=resize, decode=decode)).pixels.astype(int)
        for decode in ("exact", "scaled")
    )
    assert 0 < np.abs(exact - scaled).max() <= 4
