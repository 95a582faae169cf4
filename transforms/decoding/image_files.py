"""Image files by their bytes alone: their format, what they would cost, and the same without metadata.

Pillow refuses a whole file for what stands beside its pixels: text or a colour profile of more than a megabyte, the
checksum of such a chunk, a header that is too short. The pixels are the same without.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from schemas.errors import FailureCode, ImageError

AVIF: Final = "AVIF"
HEIF: Final = "HEIF"  # By the package pillow-heif, where that is installed.
# The longest beginning by which one of Pillow's formats is recognised.
_PREFIX_BYTES: Final = 16

# ISO 23008-12, and the brands that phones write: pictures as HEVC frames.
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_LONGEST_TYPE_BOX: Final = 256

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8"

# What decides pixels, or which way up they are. Of text, the two in which EXIF and XMP stand.
_KEPT_CHUNKS: Final = frozenset({b"tRNS", b"eXIf"})
_TEXT_CHUNKS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_KEPT_TEXTS: Final = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_MOST_TEXT_BYTES: Final = 2**20
# The application segments that are kept: beginning and least length; libjpeg ignores shorter ones.
_APPLICATION_SEGMENTS: Final = range(0xE0, 0xF0)
_KEPT_SEGMENTS: Final = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 8), 0xEE: (b"Adobe", 12)}
_START_OF_SCAN: Final = 0xDA
_SCAN: Final = bytes((0xFF, _START_OF_SCAN))
# TEM, RST0 to RST7, SOI and EOI.
_WITHOUT_CONTENT: Final = frozenset({0x01, *range(0xD0, 0xDA)})
_COMMENT: Final = 0xFE
_EXIF_SEGMENT: Final = 0xE1
_EXIF: Final = b"Exif\0\0"
# Start of frame: all but DHT (C4), JPG (C8) and DAC (CC) (ITU-T T.81, table B.1).
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Those by the discrete cosine transform, Huffman coded, which libjpeg can scale: baseline, extended and progressive.
_SCALABLE_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})

# TIFF 6.0, section 2, and BigTIFF: byte order and version; the format of an offset, of a count of tags, of a tag.
_TIFF_LAYOUTS: Final = {
    b"II*\0": ("<I", "<H", "<HHII"), b"MM\0*": (">I", ">H", ">HHII"),
    b"II+\0": ("<Q", "<Q", "<HHQQ"), b"MM\0+": (">Q", ">Q", ">HHQQ"),
}  # fmt: skip
_BIG_TIFF: Final = frozenset({b"II+\0", b"MM\0+"})
# Bytes of a value by its type, 1 to 13 and 16 to 18.
_TIFF_TYPE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_MOST_TAGS: Final = 2**16
# As Pillow allows for the text of a PNG file; and ten times what encoders write.
_MOST_METADATA_BYTES: Final = 64 * 2**20
_MOST_SCANS: Final = 100
_LARGE_FILE: Final = 2**16


def is_heif(data: bytes) -> bool:
    """Whether a file is HEIF (HEIC), by its type box; an AVIF file is none."""
    return not _HEIF_BRANDS.isdisjoint(_brands(data))


def is_avif(data: bytes) -> bool:
    """Whether a file is AVIF, by its type box."""
    return not _AVIF_BRANDS.isdisjoint(_brands(data))


def _brands(data: bytes) -> Iterator[bytes]:
    if data[4:8] == b"ftyp":
        box = data[: min(int.from_bytes(data[:4]), _LONGEST_TYPE_BOX)]
        yield from (box[at : at + 4] for at in range(8, len(box), 4))


def format_of(data: bytes) -> str | None:
    """Returns Pillow's name of a file's format, by its first bytes; None if it is unknown. Opens nothing."""
    if is_heif(data):
        return HEIF
    if is_avif(data):
        return AVIF
    Image.init()
    prefix = data[:_PREFIX_BYTES]
    return next((name for name, (_, accept) in Image.OPEN.items() if _accepts(accept, prefix)), None)


def _accepts(accept: Callable[[bytes], bool | str] | None, prefix: bytes) -> bool:
    try:
        return accept is not None and accept(prefix) is True
    except (SyntaxError, LookupError, TypeError, ValueError, struct.error):
        return False


def without_metadata(data: bytes) -> bytes | None:
    """Returns a PNG or JPEG file without the metadata that say nothing of its pixels.

    Args:
        data: The bytes of the file; it may end anywhere.

    Returns:
        The file, with its EXIF, by which it is turned upright; None if nothing of it can be left out.
    """
    if data.startswith(_PNG):
        bare = b"".join(_kept_of_png(data))
    elif data.startswith(_JPEG):
        bare = b"".join(_kept_of_jpeg(data))
    else:
        return None
    return bare if len(bare) < len(data) else None


def _kept_of_png(data: bytes) -> Iterator[bytes]:
    """Yields the critical chunks, and of the others those that are kept and whole (PNG specification, section 5)."""
    yield _PNG
    at = len(_PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        chunk = data[at:end]
        kind = chunk[4:8]
        if kind[:1].isupper() or (_is_kept(kind, chunk[8:-4]) and zlib.crc32(chunk[4:-4]).to_bytes(4) == chunk[-4:]):
            yield chunk
        at = end


def _is_kept(kind: bytes, content: bytes) -> bool:
    text = kind in _TEXT_CHUNKS and content.startswith(_KEPT_TEXTS) and len(content) <= _MOST_TEXT_BYTES
    return text or kind in _KEPT_CHUNKS


def _kept_of_jpeg(data: bytes) -> Iterator[bytes]:
    """Yields the segments before the first scan without comments and others' data, and then the rest."""
    yield _JPEG
    at = len(_JPEG)
    for segment in _jpeg_segments(data):
        if not _is_foreign(segment.marker, data[segment.content : segment.end]):
            yield data[segment.start : segment.end]
        at = segment.end
    yield data[at:]


class _Segment(NamedTuple):
    """A segment of a JPEG file.

    Attributes:
        marker: The second byte of its marker.
        start: Where the marker begins.
        content: Where its content begins.
        end: Where it ends; beyond the file if that breaks off.
    """

    marker: int
    start: int
    content: int
    end: int


def _jpeg_segments(data: bytes) -> Iterator[_Segment]:
    """Yields the segments before the first scan, as long as they follow each other (ITU-T T.81, annex B)."""
    at = len(_JPEG)
    while at + 1 < len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        marker = data[at + 1]
        if marker == 0xFF:  # A marker may have any number of these before it.
            at += 1
            continue
        length = 0 if marker in _WITHOUT_CONTENT else max(2, int.from_bytes(data[at + 2 : at + 4]))
        segment = _Segment(marker, at, at + 4, at + 2 + length)
        yield segment
        at = segment.end


def _is_foreign(marker: int, content: bytes) -> bool:
    if marker in _KEPT_SEGMENTS:
        beginning, least = _KEPT_SEGMENTS[marker]
        return not content.startswith(beginning) or len(content) < least
    return marker in _APPLICATION_SEGMENTS or marker == _COMMENT


def is_scalable(data: bytes) -> bool:
    """Whether libjpeg can scale a JPEG file while it decodes it: its one frame is coded as it expects it then."""
    segments = list(_jpeg_segments(data))
    frames = [segment.marker for segment in segments if segment.marker in _FRAMES]
    return len(frames) == 1 and frames[0] in _SCALABLE_FRAMES and data.startswith(_SCAN, segments[-1].end)


def scans(data: bytes) -> int:
    """Returns how often the pixels of a JPEG file are gone over, at the most; 0 for other files.

    Within a scan's data no other marker can stand (ITU-T T.81, section F.1.2.3).
    """
    if not data.startswith(_JPEG):
        return 0
    if len(data) < _LARGE_FILE:
        return data.count(_SCAN)
    return sum(_pairs(data, _SCAN, first) for first in (0, 1))


def _pairs(data: bytes, pair: bytes, first: int) -> int:
    """Counts two bytes, at every other place from `first`.

    Both halves take a fifth of the time of `bytes.count`, but let Python's lock go, for which threads wait.
    """
    pairs = np.frombuffer(data, np.uint16, (len(data) - first) // 2, first)
    return int(np.count_nonzero(pairs == np.frombuffer(pair, np.uint16)))


def metadata_bytes(data: bytes) -> int:
    """Returns the bytes of all the values that a reader of a TIFF file, or of the EXIF block of a JPEG, takes.

    Values may overlap, so that a small file has any number of them.
    """
    if data.startswith(_JPEG):
        return tag_bytes(b"".join(_exif_of_jpeg(data)))
    return tag_bytes(data)


def _exif_of_jpeg(data: bytes) -> Iterator[bytes]:
    for segment in _jpeg_segments(data):
        if segment.marker == _EXIF_SEGMENT and data.startswith(_EXIF, segment.content):
            yield data[segment.content + len(_EXIF) : segment.end]


def tag_bytes(data: bytes) -> int:
    """Returns the bytes of the values of the first directory of a TIFF file, which an EXIF block is; 0 for others.

    Values that are said to end beyond the file are not counted: readers leave them out.
    """
    layout = _TIFF_LAYOUTS.get(data[:4])
    if layout is None:
        return 0
    offset_format, count_format, tag_format = layout
    try:
        (offset,) = struct.unpack_from(offset_format, data, 8 if data[:4] in _BIG_TIFF else 4)
        (tags,) = struct.unpack_from(count_format, data, offset)
        first = offset + struct.calcsize(count_format)
        within = data[first : first + min(tags, _MOST_TAGS) * struct.calcsize(tag_format)]
        whole = len(within) - len(within) % struct.calcsize(tag_format)
        read = struct.iter_unpack(tag_format, within[:whole])
        return sum(_value_bytes(kind, count, value, len(data)) for _, kind, count, value in read)
    except (struct.error, OverflowError):
        return 0  # There is no directory.


def _value_bytes(kind: int, count: int, value: int, file_bytes: int) -> int:
    size = _TIFF_TYPE_BYTES[kind] * count if kind < len(_TIFF_TYPE_BYTES) else 0
    return size if size <= 4 or value + size <= file_bytes else 0


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Returns width and height of a WebP file, by its first chunk (RFC 9649, sections 2.5 to 2.7); None for others."""
    if not data.startswith(b"RIFF") or data[8:12] != b"WEBP":
        return None
    first = data[12:16]
    if first == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if first == b"VP8L":
        sides = int.from_bytes(data[21:25], "little")
        return 1 + sides % 2**14, 1 + (sides >> 14) % 2**14
    return int.from_bytes(data[26:28], "little") % 2**14, int.from_bytes(data[28:30], "little") % 2**14


def check_metadata(data: bytes) -> None:
    """Refuses a file that may be small and takes long to open, for what it says is read again and again.

    Raises:
        ImageError: If it is such a file.
    """
    _check_bytes(metadata_bytes(data))
    found = scans(data)
    if found > _MOST_SCANS:
        raise ImageError(
            FailureCode.TOO_MUCH_METADATA, f"The JPEG has {found:,} scans, {_MOST_SCANS} are the most that are decoded."
        )


def check_tags(block: bytes) -> None:
    """Refuses a block of tags, such as EXIF, whose values take long to read.

    Raises:
        ImageError: If it is such a block.
    """
    _check_bytes(tag_bytes(block))


def _check_bytes(found: int) -> None:
    if found > _MOST_METADATA_BYTES:
        raise ImageError(
            FailureCode.TOO_MUCH_METADATA,
            f"The metadata have {found:,} bytes, {_MOST_METADATA_BYTES:,} are the most that are read.",
        )
