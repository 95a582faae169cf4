"""Pixel values: what a network was trained with in place of 0 to 255, for networks that do not say it themselves."""

import re
from typing import Final, NamedTuple, Self

from schemas.errors import InvalidSpec

# `keras.applications.imagenet_utils` (Keras 3.15): in the order blue, green, red; and those of torchvision and timm.
_CAFFE_MEAN: Final = (103.939, 116.779, 123.68)
_TORCH: Final = "mean=0.485,0.456,0.406,std=0.229,0.224,0.225"

# A grey is what Pillow makes of a colour (mode L; ITU-R 601-2): whole numbers, divided by 2^16 and rounded. All of it
# is exact in float32.
GREY_PARTS: Final = (19_595.0, 38_470.0, 7_471.0)
GREY_HALF: Final = 32_768.0
GREY_UNIT: Final = 65_536.0


class PixelValues(NamedTuple):
    """What becomes of pixels in 0 to 255: each channel is multiplied, and something is added to it.

    Attributes:
        scale: One factor, or one for each channel.
        offset: As many.
        is_bgr: Whether the channels are blue, green and red.
    """

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    is_bgr: bool = False

    @classmethod
    def of(cls, preprocess: str, channels: int) -> Self:
        """Returns what a `preprocess` of a spec says.

        Args:
            preprocess: See `FeatureSpec`.
            channels: The channels that the network takes: 3, or 1 for grey.

        Raises:
            InvalidSpec: If it is for another number of channels, or is not of pixels in 0 to 1.
        """
        found = _NAMED.get(preprocess) or cls._scaling(preprocess)
        found = found or cls._normalising(_TORCH if preprocess == "torch" else preprocess)
        if len(found.scale) not in {1, channels} or len(found.offset) not in {1, channels}:
            raise InvalidSpec(
                f"preprocess {preprocess} is for networks that take colours; this one takes {channels} channel: "
                "none, scale_1, scale_-1_1 and mean=…,std=… with one number each are for such ones."
            )
        return cls(*found)

    @classmethod
    def _scaling(cls, text: str) -> "PixelValues | None":
        given = re.fullmatch("scale=(.*),offset=(.*)", text)
        if given is None:
            return None
        scale, offset = (tuple(map(float, numbers.split(","))) for numbers in given.groups())
        return cls(scale * (len(offset) // len(scale) or 1), offset * (len(scale) // len(offset) or 1))

    @classmethod
    def _normalising(cls, text: str) -> "PixelValues":
        mean, std = (
            tuple(map(float, numbers.split(",")))
            for numbers in re.fullmatch("mean=(.*),std=(.*)", text).groups()  # type: ignore[union-attr]
        )
        if not all(0 <= value <= 1 for value in mean) or not all(0 < value <= 1 for value in std):
            raise InvalidSpec(
                f"preprocess {text} is not of pixels in 0 to 1: a mean is 0 to 1, and a std above 0 and at most 1; "
                "divide those of pixels in 0 to 255 by 255."
            )
        std = std * (len(mean) // len(std) or 1)
        mean = mean * (len(std) // len(mean))
        return cls(
            tuple(1 / (255 * value) for value in std),
            tuple(-middle / value for middle, value in zip(mean, std, strict=True)),
        )


_NAMED: Final = {
    "none": PixelValues(),
    "scale_1": PixelValues((1 / 255,)),
    "scale_-1_1": PixelValues((1 / 127.5,), (-1.0,)),
    "caffe": PixelValues((1.0,), tuple(-value for value in _CAFFE_MEAN), is_bgr=True),
}
