"""Orientation: which way up a picture is, by its EXIF tag."""

import contextlib
from collections.abc import Mapping
from typing import Final

from PIL import Image

from transforms.decoding.image_files import check_tags

_ORIENTATION_TAG: Final = 0x0112
_ON_THEIR_SIDE: Final = range(5, 9)
# What turns the pixels of an orientation upright (EXIF 2.32, section 4.6.4). `ImageOps.exif_transpose` does the same,
# and writes the EXIF block again, which not every block can be.
_UPRIGHT: Final[Mapping[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_IN_TEXT: Final = "Raw profile type exif"
_TEXT_HEADER_LINES: Final = 3


def to_upright(image: Image.Image) -> Image.Image:
    """Loads an image, and returns it turned upright.

    Raises:
        ImageError: If its tags take long to read.
    """
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def lies_on_its_side(image: Image.Image) -> bool:
    """Whether width and height of a JPEG change places when it is turned upright; it need not be loaded.

    Raises:
        ImageError: If its tags take long to read.
    """
    return _orientation(image) in _ON_THEIR_SIDE


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation; of formats other than JPEG only a loaded image may know it."""
    check_tags(_exif(image))
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (a broken EXIF block says nothing of the picture beside it)
        return 1


def _exif(image: Image.Image) -> bytes:
    """Returns the EXIF block of an image as Pillow takes it, without reading it; empty where it has none."""
    exif = image.info.get("exif") or b""
    text = image.info.get(_EXIF_IN_TEXT)
    if not exif and isinstance(text, str):
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(text.split("\n")[_TEXT_HEADER_LINES:]))
    return exif.removeprefix(b"Exif\0\0")
