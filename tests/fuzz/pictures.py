"""Pictures that are drawn to be mutated: small ones, of every format and of what decoders tell apart within it."""

import functools
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from tests.fuzz.containers import BMP, BOXES, GIF, JPEG, PNG, TIFF, WEBP, Container, png, tiff
from tests.fuzz.mutations import Part, mutated

CONTAINERS: Final[Mapping[str, Container]] = {
    "JPEG": JPEG, "PNG": PNG, "WEBP": WEBP, "GIF": GIF, "BMP": BMP, "TIFF": TIFF, "AVIF": BOXES, "HEIF": BOXES,
}  # fmt: skip
# AVIF takes a millisecond and more to begin with.
_WEIGHTS: Final = {"AVIF": 0.2, "HEIF": 0.2}

_SIZE: Final = (19, 13)
_ORIENTED: Final = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"


def _noise(mode: str) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (_SIZE[1], _SIZE[0], 3), np.uint8)
    if mode in {"I;16", "F"}:
        return Image.fromarray(pixels[..., 0].astype(np.uint16 if mode == "I;16" else np.float32))
    image = Image.fromarray(pixels).convert(mode)
    image.info.clear()  # A profile of colours has the date of today.
    return image


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """Draws a picture of noise and returns its file."""
    file = io.BytesIO()
    _noise(mode).save(file, kind, **options)
    return file.getvalue()


def _animated(kind: str, mode: str = "RGB", **options: object) -> bytes:
    frames = [_noise(mode), _noise(mode).transpose(Image.Transpose.ROTATE_180)]
    return encoded(kind, mode, save_all=True, append_images=frames, **options)


def _jpegs() -> Iterator[bytes]:
    for mode, subsampling in itertools.product(("RGB", "YCbCr"), (0, 1, 2)):
        yield encoded("JPEG", mode, subsampling=subsampling, quality=50)
    yield encoded("JPEG", "L")
    yield encoded("JPEG", "CMYK")
    yield encoded("JPEG", progressive=True)
    yield encoded("JPEG", "L", progressive=True, exif=_ORIENTED)
    yield encoded("JPEG", optimize=True, exif=_ORIENTED, comment=b"drawn", icc_profile=bytes(40), dpi=(3, 4))
    yield encoded("JPEG", restart_marker_blocks=1)
    yield encoded("JPEG", keep_rgb=True)
    yield _animated("MPO")


def _pngs() -> Iterator[bytes]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield encoded("PNG", mode)
    yield encoded("PNG", "P", transparency=3, bits=4)
    yield encoded("PNG", "L", transparency=3)
    yield encoded("PNG", exif=_ORIENTED, icc_profile=bytes(40), dpi=(3, 4))
    yield _animated("PNG")
    for depth, colours, channels in ((16, 2, 3), (16, 6, 4), (2, 0, 1)):  # Which Pillow does not write; interlaced.
        yield _interlaced(depth, colours, channels)


def _interlaced(depth: int, colours: int, channels: int) -> bytes:
    """A PNG of 8 × 8 pixels in the seven passes of Adam7 (PNG specification, section 8.2)."""
    passes = ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))
    rows = b"".join((b"\0" + bytes(range(-(-width * depth * channels // 8)))) * height for width, height in passes)
    header = struct.pack(">IIBBBBB", 8, 8, depth, colours, 0, 0, 1)
    return png([Part(b"IHDR", header), Part(b"IDAT", zlib.compress(rows)), Part(b"IEND", b"")])


def _webps() -> Iterator[bytes]:
    yield encoded("WEBP", quality=20)
    yield encoded("WEBP", "RGBA", quality=20)
    yield encoded("WEBP", lossless=True)
    yield encoded("WEBP", "RGBA", lossless=True, exif=_ORIENTED, xmp=b"<x/>", icc_profile=bytes(40))
    yield _animated("WEBP", "RGBA", lossless=True)


def _gifs() -> Iterator[bytes]:
    for mode in ("1", "L", "P"):
        yield encoded("GIF", mode)
    yield encoded("GIF", "P", interlace=1, transparency=3, comment=b"drawn")
    yield _animated("GIF", "P", disposal=2, duration=1, loop=0)


def _bmps() -> Iterator[bytes]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield encoded("BMP", mode)
    yield _bitmap(8, 1, b"\5\1\0\3\1\2\3\0\0\2\2\1\3\4\0\0\0\1")
    yield _bitmap(4, 2, b"\5\x12\0\4\x12\x34\0\0\0\2\1\1\3\x21\0\0\0\1")
    yield _bitmap(16, 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F) + bytes(2 * 8 * 8))


def _bitmap(bits: int, compression: int, pixels: bytes) -> bytes:
    """A BMP of 8 × 8 pixels that are packed, which Pillow does not write."""
    palette = b"" if bits > 8 else bytes(range(256)) * 4
    colours = palette[: 4 * 2 ** min(bits, 8)]
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    start = 14 + len(header) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header + colours + pixels


def _tiffs() -> Iterator[bytes]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"):
        yield encoded("TIFF", mode)
    for compression in ("packbits", "tiff_adobe_deflate", "tiff_lzw", "jpeg"):
        yield encoded("TIFF", compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield encoded("TIFF", "1", compression=compression)
    yield encoded("TIFF", "LA", compression="tiff_lzw")
    yield _animated("TIFF")
    tags = ((256, 4), (257, 4), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 32))
    entries = (Part(struct.pack(">H", tag), struct.pack(">HIHH", 3, 1, value, 0)) for tag, value in tags)
    yield tiff([Part(b"", b"MM\0*" + bytes(4) + bytes(range(32))), *entries])


def _avifs() -> Iterator[bytes]:
    options = {"speed": 10, "max_threads": 1, "quality": 10}
    yield encoded("AVIF", **options)
    yield encoded("AVIF", "RGBA", exif=_ORIENTED, **options)
    yield _animated("AVIF", **options)


def _heifs() -> Iterator[bytes]:
    try:
        import pillow_heif
    except ImportError:  # An extra, which is not in the lock of the tests.
        return
    pillow_heif.register_heif_opener()
    yield encoded("HEIF")
    yield encoded("HEIF", "RGBA", exif=_ORIENTED)


def broken_fax() -> bytes:
    """A TIFF in the coding of faxes with lines that are none."""
    whole = encoded("TIFF", "1", compression="group4")
    with Image.open(io.BytesIO(whole)) as image:
        assert isinstance(image, TiffImageFile)
        start, size = image.tag_v2[273][0], image.tag_v2[279][0]
    return whole[:start] + b"\x55" * size + whole[start + size :]


def large_webp(side: int = 10_000) -> bytes:
    """A small WebP that says that its canvas has a hundred million pixels."""
    header, image, *others = WEBP.split(encoded("WEBP", exif=_ORIENTED))
    sides = (side - 1).to_bytes(3, "little") * 2
    return WEBP.join([Part(header.kind, header.content[:4] + sides), image, *others])


_DRAWN: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    "JPEG": _jpegs, "PNG": _pngs, "WEBP": _webps, "GIF": _gifs, "BMP": _bmps, "TIFF": _tiffs, "AVIF": _avifs,
    "HEIF": _heifs,
}  # fmt: skip


@functools.cache
def drawn() -> Mapping[str, Sequence[bytes]]:
    """Returns the files by format; none of a format that nothing here encodes."""
    files = {kind: tuple(draw()) for kind, draw in _DRAWN.items()}
    return {kind: of_kind for kind, of_kind in files.items() if of_kind}


def mutated_picture(chance: Random) -> bytes:
    """Returns the file of a picture after some mutations: mostly of its parts, now and then of its bytes."""
    files = drawn()
    (kind,) = chance.choices(list(files), [_WEIGHTS.get(kind, 1.0) for kind in files])
    data = chance.choice(files[kind])
    if chance.random() < 0.8:
        data = CONTAINERS[kind].mutated(data, chance.choice(files[kind]), chance)
    if chance.random() < 0.3:
        data = mutated(data, chance)
    return data
