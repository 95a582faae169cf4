"""Extents: where the bytes of an image are in a file that holds several, and how they are packed there.

Whoever lists an archive writes them into the image refs, so that whoever reads an image needs neither the archive's
directory nor its other members: a range of bytes is read, and unpacked. This module needs no package, so that a decoder
process reads members as it reads files.
"""

import bz2
import struct
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from schemas.errors import DamagedArchive, FailureCode, ImageError

# Returns the bytes of a file from a place to before another one; fewer at the file's end.
RangeReader = Callable[[int, int], bytes]

STORED: Final = 0
_DEFLATED: Final = 8
_BZIP2: Final = 12
_OTHER_METHODS: Final = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}

# PKWARE's APPNOTE, section 4.3.7: the header before a member of a ZIP archive; it ends with lengths of what follows it.
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_HEADER_BYTES: Final = _LOCAL_HEADER.size
_SIGNATURE: Final = b"PK\x03\x04"
# Packers write more into it than into the directory: times, and sizes beyond 4 GB.
_HEADER_SLACK: Final = 64
# Deflate makes nothing larger than by 5 bytes in 16 KB (RFC 1951), bzip2 not by more than 1 %.
_PACKED_PER_BYTE: Final = 1.01
_PACKED_SLACK: Final = 1024

_RAW: Final = "raw"
_ZIP: Final = "zip"

# What the text of an extent looks like.
EXTENT: Final = "^(raw|zip):"


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Packing(NamedTuple):
    """How a member of a ZIP archive is packed.

    Attributes:
        stored: How many bytes it takes in the archive.
        method: The number of the compression method.
        crc: CRC-32 of its bytes.
        header: How many bytes of header are before it, by the directory.
    """

    stored: int
    method: int
    crc: int
    header: int


class Extent(NamedTuple):
    """Where an image is in a file.

    Attributes:
        offset: The first of its bytes, or of the header before them.
        size: How many bytes the image has.
        packing: How it is packed in a ZIP archive; None where the bytes are there as they are.
    """

    offset: int
    size: int
    packing: Packing | None = None

    def __str__(self) -> str:
        return ":".join(map(str, (_ZIP if self.packing else _RAW, self.offset, self.size, *(self.packing or ()))))

    @classmethod
    def parse(cls, text: str) -> "Extent | None":
        """Reads what `str` has written; None if it is a place of another kind."""
        kind, *fields = text.split(":")
        if kind not in {_RAW, _ZIP}:
            return None
        offset, size, *packing = map(int, fields)
        return cls(offset, size, Packing(*packing) if packing else None)

    @property
    def end(self) -> int:
        """The byte before which reading the image ends, if there is before it what the directory says."""
        if self.packing is None:
            return self.offset + self.size
        return self.offset + self.packing.header + _HEADER_SLACK + self.packing.stored

    def read(self, read_range: RangeReader, max_bytes: int) -> bytes:
        """Reads the image.

        Args:
            read_range: Reads from the file.
            max_bytes: The most bytes of the image, and the most that are unpacked, whatever the archive says.

        Raises:
            ImageError: If it is larger, or the archive has something else there.
        """
        if self.size > max_bytes:
            raise ImageError(
                FailureCode.TOO_MANY_BYTES, f"The file has {self.size:,} bytes, the limit is {max_bytes:,}."
            )
        if self.packing is None:
            return _whole(read_range(self.offset, self.offset + self.size), self.size)
        return self._unpacked(self._packed(self.packing, read_range), self.packing)

    def _packed(self, packing: Packing, read_range: RangeReader) -> bytes:
        if packing.stored > self.size * _PACKED_PER_BYTE + _PACKED_SLACK:
            raise DamagedArchive.of(f"its directory says that {self.size:,} bytes are packed into {packing.stored:,}")
        guess = packing.header + _HEADER_SLACK
        found = read_range(self.offset, self.offset + guess + packing.stored)
        if len(found) < _HEADER_BYTES or not found.startswith(_SIGNATURE):
            raise DamagedArchive.of("there is no member where its directory says; it may have been written meanwhile")
        _, name, extra = _LOCAL_HEADER.unpack_from(found)
        start = _HEADER_BYTES + name + extra
        end = start + packing.stored
        if start > guess:
            found += read_range(self.offset + len(found), self.offset + end)
        return _whole(found[start:end], packing.stored)

    def _unpacked(self, packed: bytes, packing: Packing) -> bytes:
        content = packed if packing.method == STORED else self._decompressed(packed, packing.method)
        if len(content) != self.size or zlib.crc32(content) != packing.crc:
            raise DamagedArchive.of("the member's size or checksum is not that of its directory")
        return content

    def _decompressed(self, packed: bytes, method: int) -> bytes:
        decompressor = _decompressor(method)
        try:
            # One byte more, to see that there is none: `max_bytes` holds because it holds for the size.
            return decompressor.decompress(packed, self.size + 1)
        except (zlib.error, OSError, EOFError) as error:
            raise DamagedArchive.of(f"the member cannot be unpacked ({error})") from error


def _decompressor(method: int) -> _Decompressor:
    if method == _DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS)
    if method == _BZIP2:
        return bz2.BZ2Decompressor()
    name = _OTHER_METHODS.get(method, f"method {method}")
    raise ImageError(
        FailureCode.UNSUPPORTED_FORMAT,
        f"The archive packs it with {name}, which is not read; write the archive with Deflate.",
    )


def _whole(found: bytes, size: int) -> bytes:
    if len(found) < size:  # A connection that breaks off may look like the end of the file.
        raise ImageError(
            FailureCode.UNREADABLE, f"The member has {size:,} bytes, {len(found):,} were read: the archive breaks off."
        )
    return found
