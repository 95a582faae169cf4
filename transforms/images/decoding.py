"""Decoding: the bytes of an image file in, a picture as Keras makes it out, or an `ImageError`.

On upright 8-bit pictures this equals `keras.utils.load_img(path, target_size=..., interpolation=...)` bit for bit,
unless they are to be cropped or padded. It differs where Keras would be wrong without saying so: pictures are turned
upright as their EXIF tag says, and 16-bit greys are scaled to 8 bits, where Pillow clips them to white.

With `decode="scaled"` libjpeg makes large JPEGs smaller by 2, 4 or 8 while it decodes them, and only the rest is
resized. A picture of 12 megapixels then takes 16 to 35 ms instead of 110 to 130.
"""

import contextlib
import ctypes
import dataclasses
import functools
import io
import threading
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from schemas.errors import FailureCode, ImageError, nearest_names
from schemas.spec import FeatureSpec
from transforms.images.image_files import (
    AVIF,
    HEIF,
    check_metadata,
    check_tags,
    format_of,
    is_heif,
    is_scalable,
    webp_size,
    without_metadata,
)
from transforms.preprocessing import Placement, placed

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", AVIF, HEIF)
MAX_PIXELS: Final = 100_000_000
MAX_SIDE: Final = 65_535  # What a JPEG can have.
MAX_BYTES: Final = 100_000_000
# A hundred million pixels take a second or two, and 400 MB as Pillow holds them, 800 while they are turned upright.
DECODE_TIMEOUT: Final = 5
DECODE_MEMORY: Final = 1_000_000_000

# How many times larger than the target the JPEG decoder leaves a picture at the least, in both sides. Features of 32
# pictures of 12 megapixels (MobileNet 0.25, 224 pixels) then have a cosine of .99993 with the exact ones, .99989 at the
# least; with a margin of 1 it was .9994, and .9988 at the least.
SCALED_MARGIN: Final = 2

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
class DecodingLimits:
    """Which image files are taken, and what decoding one may cost.

    Attributes:
        formats: The names of the Pillow formats that are taken.
        max_pixels: The most pixels (width × height) that are decoded; checked before decoding.
        max_side: The most pixels of a side; checked before decoding.
        timeout: Seconds of processor time that decoding a picture may take, in a decoder process.
        memory: Bytes of memory that decoding a picture may take, in a decoder process.
    """

    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS
    max_side: int = MAX_SIDE
    timeout: int = DECODE_TIMEOUT
    memory: int = DECODE_MEMORY


@dataclasses.dataclass(frozen=True)
class DecodingRules:
    """How bytes become pixels.

    Attributes:
        height: Pixels of the result.
        width: Pixels of the result.
        interpolation: The name of a Pillow resampling filter.
        apply_exif_orientation: Whether pictures are turned upright.
        resize: `"stretch"`, `"crop"` or `"pad"`, and the ratio of a crop; see `FeatureSpec`.
        crop_ratio: See there.
        decode: `"exact"`, or `"scaled"`: the JPEG decoder may scale, to `SCALED_MARGIN` times the result or more.
        truncated: `"fail"`, or `"keep"`: of a file that ends too soon the pixels that are there are taken, the others
            are grey or black, as Pillow leaves them.
        limits: Which files are taken, and what one may cost.
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    apply_exif_orientation: bool = True
    decode: str = "exact"
    truncated: str = "fail"
    limits: DecodingLimits = DecodingLimits()
    resize: str = "stretch"
    crop_ratio: float = 1.0

    @classmethod
    def of_spec(cls, spec: FeatureSpec, limits: DecodingLimits) -> "DecodingRules":
        """Returns the rules by which the features of a resolved spec are made."""
        height, width, _ = spec.resolved_input_shape
        return cls(
            height=height,
            width=width,
            interpolation=spec.interpolation,
            apply_exif_orientation=spec.exif_orientation == "apply",
            decode=spec.decode,
            truncated=spec.truncated,
            limits=limits,
            resize=spec.resize,
            crop_ratio=spec.crop_ratio,
        )

    def placement(self, width: int, height: int) -> Placement:
        """Returns how an upright picture of a size is put into the result."""
        return placed((width, height), (self.width, self.height), self.resize, self.crop_ratio)


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


def format_by_name(name: str) -> str:
    """Returns Pillow's name of a format, by that name or an extension of its files, in any case.

    >>> format_by_name("jpg")
    'JPEG'

    Raises:
        ValueError: If there is no such format; its message names those that look like it.
    """
    asked = name.upper().lstrip(".")
    if asked in FORMATS:
        return asked
    by_extension = {".heic": HEIF, ".heics": HEIF, ".hif": HEIF, **Image.registered_extensions()}
    found = by_extension.get(f".{asked.lower()}", asked)
    if found in Image.OPEN or found in FORMATS:
        return found
    raise ValueError(f"'{name}' is no format that Pillow reads{nearest_names(name, [*FORMATS, *Image.OPEN])}")


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
    with _decoder_errors(), _open(data, rules.limits) as image:
        _check_size(*image.size, rules.limits)
        if any(tile[0] == _LIBTIFF for tile in getattr(image, "tile", ())):
            _fill_memory()
        full_size = _scale_in_decoder(image, data, rules) if rules.decode == "scaled" else None
        upright = _to_upright(image) if rules.apply_exif_orientation else image
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


@contextlib.contextmanager
def _decoder_errors() -> Iterator[None]:
    """Takes whatever a decoder raises for the fault of the file; but for a lack of memory, which may be the machine's.

    Raises:
        ImageError: In place of it.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(FailureCode.TOO_MANY_PIXELS, f"The picture has too many pixels: {error}") from error
    except Exception as error:
        raise _decoder_error(error) from error


def _open(data: bytes, limits: DecodingLimits) -> Image.Image:
    # For formats that take memory when they are opened. Pillow refuses twice its limit, and warns before; but for WebP,
    # of which it has two canvases by then.
    _check_size(*(webp_size(data) or (0, 0)), limits)
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        return Image.open(io.BytesIO(data), formats=_of_pillow(limits.formats))
    except UnidentifiedImageError as error:
        if HEIF in limits.formats and is_heif(data):
            return _open_heif(data)
        raise _unidentified(data, limits) from error


@functools.cache
def _of_pillow(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the formats that Pillow itself knows."""
    return tuple(name for name in formats if name != HEIF)


def _open_heif(data: bytes) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            FailureCode.DECODER_MISSING,
            "The file is HEIF (HEIC), which the package pillow-heif decodes; it is not installed (the extra heif).",
        ) from error
    pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=(HEIF,))


def _unidentified(data: bytes, limits: DecodingLimits) -> ImageError:
    other = format_of(data)
    if other is None:
        return ImageError(FailureCode.NOT_AN_IMAGE, "The file is no image that Pillow knows.")
    if other not in limits.formats:
        taken = ",".join(limits.formats)
        return ImageError(FailureCode.UNSUPPORTED_FORMAT, f"The file is {other}; --formats takes {taken}.")
    if other == AVIF and not features.check("avif"):
        return ImageError(
            FailureCode.DECODER_MISSING, "The file is AVIF, which the installed Pillow was built without."
        )
    return ImageError(FailureCode.DECODER_ERROR, f"The {other} file cannot be opened.")


def _check_size(width: int, height: int, limits: DecodingLimits) -> None:
    if max(width, height) > limits.max_side:
        most = f"{limits.max_side:,} of a side (--max_side)"
    elif width * height > limits.max_pixels:
        most = f"{limits.max_pixels:,} (--max_pixels)"
    else:
        return
    raise ImageError(FailureCode.TOO_MANY_PIXELS, f"The picture has {width} × {height} pixels, the limit is {most}.")


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
    lies_on_its_side = rules.apply_exif_orientation and _orientation(image) in _ON_THEIR_SIDE
    upright = image.size[::-1] if lies_on_its_side else image.size
    width, height = rules.placement(*upright).whole
    least = (SCALED_MARGIN * width, SCALED_MARGIN * height)
    image.draft(None, least[::-1] if lies_on_its_side else least)
    return upright


def _to_upright(image: Image.Image) -> Image.Image:
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


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


def _decoder_error(error: Exception) -> ImageError:
    message = str(error) or type(error).__name__
    # Of a chunk beside the pixels, Pillow says the same as of the file.
    is_truncated = "truncated" in message.lower() and not message.endswith(" chunk")
    code = FailureCode.TRUNCATED if is_truncated else FailureCode.DECODER_ERROR
    return ImageError(code, f"The image cannot be decoded: {message}")
