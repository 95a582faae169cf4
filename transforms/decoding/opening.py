"""Opening: the bytes of an image file in, an image of Pillow out that is not decoded yet, or an `ImageError`."""

import contextlib
import functools
import io
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError, features

from schemas.errors import FailureCode, ImageError
from transforms.decoding.image_files import AVIF, HEIF, format_of, is_heif, webp_size
from transforms.decoding.rules import DecodingLimits


@contextlib.contextmanager
def decoder_errors() -> Iterator[None]:
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


def open_image(data: bytes, limits: DecodingLimits) -> Image.Image:
    """Opens an image file of one of the formats that are taken.

    Args:
        data: The bytes of the file.
        limits: Which files are taken.

    Raises:
        ImageError: If it is none of them.
    """
    # For formats that take memory when they are opened. Pillow refuses twice its limit, and warns before; but for WebP,
    # of which it has two canvases by then.
    check_size(*(webp_size(data) or (0, 0)), limits)
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


def check_size(width: int, height: int, limits: DecodingLimits) -> None:
    """Refuses a picture that is too large.

    Args:
        width: Its pixels.
        height: Its pixels.
        limits: How many it may have.

    Raises:
        ImageError: If it has more.
    """
    if max(width, height) > limits.max_side:
        most = f"{limits.max_side:,} of a side (--max_side)"
    elif width * height > limits.max_pixels:
        most = f"{limits.max_pixels:,} (--max_pixels)"
    else:
        return
    raise ImageError(FailureCode.TOO_MANY_PIXELS, f"The picture has {width} × {height} pixels, the limit is {most}.")


def _decoder_error(error: Exception) -> ImageError:
    message = str(error) or type(error).__name__
    # Of a chunk beside the pixels, Pillow says the same as of the file.
    is_truncated = "truncated" in message.lower() and not message.endswith(" chunk")
    code = FailureCode.TRUNCATED if is_truncated else FailureCode.DECODER_ERROR
    return ImageError(code, f"The image cannot be decoded: {message}")
