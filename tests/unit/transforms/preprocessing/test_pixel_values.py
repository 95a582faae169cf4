"""What becomes of the values of pixels: as Keras's own applications and torchvision have it."""

import numpy as np
import pytest
from keras.applications import imagenet_utils

from schemas.errors import InvalidSpec
from schemas.spec import PREPROCESSINGS
from transforms.preprocessing import PixelValues

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.float32)


def prepared(preprocess: str, pixels: np.ndarray = PIXELS) -> np.ndarray:
    values = PixelValues.of(preprocess, pixels.shape[-1])
    ordered = pixels[..., ::-1] if values.is_bgr else pixels
    return ordered * np.float32(values.scale) + np.float32(values.offset)


@pytest.mark.parametrize(("preprocess", "mode"), [("scale_-1_1", "tf"), ("caffe", "caffe"), ("torch", "torch")])
def test_the_named_ones_are_those_of_keras(preprocess: str, mode: str) -> None:
    expected = imagenet_utils.preprocess_input(PIXELS.copy(), mode=mode)
    np.testing.assert_allclose(prepared(preprocess), expected, rtol=0, atol=2e-5)


def test_the_others() -> None:
    np.testing.assert_array_equal(prepared("none"), PIXELS)
    np.testing.assert_allclose(prepared("scale_1"), PIXELS / 255, rtol=1e-6)
    np.testing.assert_allclose(prepared("mean=0.5,std=.25"), (PIXELS / 255 - 0.5) / 0.25, atol=1e-6)
    np.testing.assert_allclose(prepared("mean=0.5,std=0.25,0.5,1"), (PIXELS / 255 - 0.5) / [0.25, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(prepared("mean=0.485,0.456,0.406,std=0.229,0.224,0.225"), prepared("torch"), atol=1e-6)


def test_grey_has_one_channel() -> None:
    grey = PIXELS[..., :1]
    np.testing.assert_allclose(prepared("mean=0.1307,std=0.3081", grey), (grey / 255 - 0.1307) / 0.3081, atol=1e-5)
    for preprocess in PREPROCESSINGS:
        if preprocess in {"caffe", "torch"}:
            with pytest.raises(InvalidSpec, match="is for networks that take colours; this one takes 1 channel"):
                PixelValues.of(preprocess, 1)
        else:
            assert prepared(preprocess, grey).shape == grey.shape


@pytest.mark.parametrize(
    "text", ["mean=123.7,116.3,103.5,std=58.4,57.1,57.4", "mean=0.5,std=0", "mean=.5,.5,.5,std=60"]
)
def test_what_is_of_pixels_in_0_to_255_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="is not of pixels in 0 to 1"):
        PixelValues.of(text, 3)
