"""Image files by their bytes alone: formats that Pillow has no name for, and files without their metadata.

Pillow refuses a whole file for what stands beside its pixels: text or a colour profile of more than a megabyte, the
checksum of such a chunk, a header that is too short. The pixels are the same without.
"""

import zlib
from collections.abc import Iterator
from typing import Final

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
_START_OF_SCAN: Final = b"\xda"
_COMMENT: Final = 0xFE


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
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in {b"", b"\xff", _START_OF_SCAN}:
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        if not _is_foreign(data[at + 1], data[at + 4 : end]):
            yield data[at:end]
        at = end
    yield data[at:]


def _is_foreign(marker: int, content: bytes) -> bool:
    if marker in _KEPT_SEGMENTS:
        beginning, least = _KEPT_SEGMENTS[marker]
        return not content.startswith(beginning) or len(content) < least
    return marker in _APPLICATION_SEGMENTS or marker == _COMMENT
