"""Decoding: the bytes of an image file in, a picture as Keras makes it out, or an `ImageError`.

On upright 8-bit pictures this equals `keras.utils.load_img(path, target_size=..., interpolation=...)` bit for bit,
unless they are to be cropped or padded. It differs where Keras would be wrong without saying so: pictures are turned
upright as their EXIF tag says, and 16-bit greys are scaled to 8 bits, where Pillow clips them to white.

With `decode="scaled"` libjpeg makes large JPEGs smaller by 2, 4 or 8 while it decodes them, and only the rest is
resized. A picture of 12 megapixels then takes 16 to 35 ms instead of 110 to 130.
"""

import ctypes
import dataclasses
import functools
import threading
from typing import Final

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from schemas.errors import FailureCode, ImageError
from transforms.decoding.image_files import check_metadata, is_scalable, without_metadata
from transforms.decoding.opening import check_size, decoder_errors, open_image
from transforms.decoding.orientation import lies_on_its_side, to_upright
from transforms.decoding.rules import DecodingRules

# How many times larger than the target the JPEG decoder leaves a picture at the least, in both sides. Features of 32
# pictures of 12 megapixels (MobileNet 0.25, 224 pixels) then have a cosine of .99993 with the exact ones, .99989 at the
# least; with a margin of 1 it was .9994, and .9988 at the least.
SCALED_MARGIN: Final = 2

_LIBTIFF: Final = "libtiff"
# glibc's malloc.h; memory is filled with the complement of a byte, so with zeros.
_M_PERTURB: Final = -6
_COMPLEMENT: Final = 0xFF
_PIXELS_AT_ONCE: Final = 2**20
_SIXTEEN_BIT_MODES: Final = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_RESAMPLINGS: Final = {resampling.name.lower(): resampling for resampling in Image.Resampling}

# What a file may fail of that has intact pixels beside metadata that Pillow cannot read.
_MAY_BE_METADATA: Final = frozenset({FailureCode.NOT_AN_IMAGE, FailureCode.DECODER_ERROR})

# Pillow has one switch for a whole process. While it is on, other threads keep what is truncated at the first attempt.
_KEEPING: Final = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 [height, width, 3] in 0 to 255, resized.
        width: Pixels before resizing, upright.
        height: Pixels before resizing, upright.
    """

    pixels: np.ndarray
    width: int
    height: int


def decode_image(data: bytes, rules: DecodingRules) -> Picture:
    """Decodes the first frame of an image file and resizes it.

    Pixels that are intact are decoded whatever the metadata beside them.

    Args:
        data: The bytes of the file.
        rules: How they become pixels.

    Raises:
        ImageError: If they are no picture that the rules take.
        MemoryError: If the machine has too little memory.
    """
    if not data:
        raise ImageError(FailureCode.EMPTY_FILE, "The file is empty.")
    try:
        return _decode(data, rules)
    except ImageError as error:
        if error.code in _MAY_BE_METADATA:
            bare = without_metadata(data)
            if bare is not None:
                return decode_image(bare, rules)
        elif error.code == FailureCode.TRUNCATED and rules.truncated == "keep":
            return _decode_what_is_there(data, rules)
        raise


def _decode_what_is_there(data: bytes, rules: DecodingRules) -> Picture:
    with _KEEPING:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return _decode(data, rules)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


def _decode(data: bytes, rules: DecodingRules) -> Picture:
    check_metadata(data)
    with decoder_errors(), open_image(data, rules.limits) as image:
        check_size(*image.size, rules.limits)
        if any(tile[0] == _LIBTIFF for tile in getattr(image, "tile", ())):
            _fill_memory()
        if isinstance(image, JpegImageFile):
            image.decodermaxblock = len(
                data
            )  # Pillow would hand it on in pieces of 64 KB, and copy what is left each time.
        full_size = _scale_in_decoder(image, data, rules) if rules.decode == "scaled" else None
        upright = to_upright(image) if rules.apply_exif_orientation else image
        rgb = _to_rgb(upright)
        width, height = full_size or rgb.size
        return Picture(np.asarray(_resize(rgb, rules)), width, height)


def _resize(image: Image.Image, rules: DecodingRules) -> Image.Image:
    frame, placement = (rules.width, rules.height), rules.placement(*image.size)
    if image.size == frame == placement.whole:
        return image
    resized = image.resize(placement.size, _RESAMPLINGS[rules.interpolation], placement.box)
    if placement.size == frame:
        return resized
    padded = Image.new("RGB", frame)
    padded.paste(resized, placement.offset)
    return padded


@functools.cache
def _fill_memory() -> None:
    """Has the C library fill whatever memory it gives from now on with the same bytes, where it can (glibc).

    libtiff (4.7) leaves what a broken line of a fax lacks as its memory was: pixels would be what other files had left
    there, and others each time.
    """
    fill = getattr(ctypes.CDLL(None), "mallopt", None)
    if fill is not None:
        fill(_M_PERTURB, _COMPLEMENT)


def _scale_in_decoder(image: Image.Image, data: bytes, rules: DecodingRules) -> tuple[int, int] | None:
    """Has a JPEG's decoder scale; its mode stays, so that colours are made as they are without it.

    Returns:
        Width and height of a whole JPEG, upright; None for lossless JPEGs and other formats, which are left alone.
    """
    if not isinstance(image, JpegImageFile) or not is_scalable(data):
        return None
    is_turned = rules.apply_exif_orientation and lies_on_its_side(image)
    upright = image.size[::-1] if is_turned else image.size
    width, height = rules.placement(*upright).whole
    least = (SCALED_MARGIN * width, SCALED_MARGIN * height)
    image.draft(None, least[::-1] if is_turned else least)
    return upright


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ImageError(FailureCode.UNSUPPORTED_PIXELS, "The pixels are floats, whose range the file does not tell.")
    if image.mode in _SIXTEEN_BIT_MODES:
        return _to_eight_bits(image).convert("RGB")
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()
    return image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit greys, some rows at a time: 65535 / 255 = 257; PNG specification, section 13.12."""
    greys = np.asarray(image)
    small = np.empty(greys.shape, np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // greys.shape[1])
    for first in range(0, len(greys), rows):
        some = np.clip(greys[first : first + rows].astype(np.int64), 0, 65535)
        small[first : first + rows] = (some + 128) // 257
    return Image.fromarray(small)
