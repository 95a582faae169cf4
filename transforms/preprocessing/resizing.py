"""Resizing: which part of a picture becomes which part of the network's input. Sizes alone; no pixel is touched here.

The part is resized by itself instead of the whole picture, so that a picture of 65,535 × 1 pixels costs no more than
another one; what is resized takes in pixels beyond the part's edge, so the result is that of resizing the whole
picture first, to a rounding.
"""

import math
from typing import NamedTuple, TypeAlias

Size: TypeAlias = tuple[int, int]


class Placement(NamedTuple):
    """How a picture is put into a frame; all pairs are width and height.

    Attributes:
        whole: The size that the whole picture would be resized to.
        size: The size that the part of it which is taken is resized to.
        box: That part: left, top, right and bottom, in pixels of the picture.
        offset: Where it goes in the frame.
    """

    whole: Size
    size: Size
    box: tuple[float, float, float, float]
    offset: Size = (0, 0)


def placed(picture: Size, frame: Size, resize: str = "stretch", crop_ratio: float = 1.0) -> Placement:
    """Puts a picture into a frame.

    Args:
        picture: Its width and height in pixels.
        frame: Those of the result.
        resize: `"stretch"`, `"crop"` or `"pad"`; see `FeatureSpec`.
        crop_ratio: Of `"crop"`.
    """
    if resize == "crop":
        return _cropped(picture, frame, crop_ratio)
    size = _within(picture, frame) if resize == "pad" else frame
    offset = ((frame[0] - size[0]) // 2, (frame[1] - size[1]) // 2)
    return Placement(size, size, (0, 0, *picture), offset)


def _within(picture: Size, frame: Size) -> Size:
    """Returns the largest size of the picture's proportions in a frame."""
    (width, height), (most_width, most_height) = picture, frame
    if width * most_height >= height * most_width:
        return most_width, max(1, round(height * most_width / width))
    return max(1, round(width * most_height / height)), most_height


def _cropped(picture: Size, frame: Size, crop_ratio: float) -> Placement:
    """Takes the middle, with the roundings of torchvision's `Resize` and `CenterCrop` (0.29)."""
    width, height = picture
    least_width, least_height = (math.floor(side / crop_ratio) for side in frame)
    if width * least_height <= height * least_width:
        whole = (least_width, least_width * height // width)
    else:
        whole = (least_height * width // height, least_height)
    left, top = (round((side - most) / 2) for side, most in zip(whole, frame, strict=True))
    box = (
        left * width / whole[0],
        top * height / whole[1],
        min((left + frame[0]) * width / whole[0], width),
        min((top + frame[1]) * height / whole[1], height),
    )
    return Placement(whole, frame, box)
