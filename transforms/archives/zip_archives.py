"""ZIP archives: the directory at their end is read once; a member is one range of bytes, whatever is before it."""

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from schemas.errors import DamagedArchive, FailureCode, ImageError, first_line
from schemas.extents import Extent, Packing
from schemas.storage import tidy_name
from transforms.archives.archive import ArchiveFile, ArchiveKind, Member, Wanted, nothing

# Flags of a member: PKWARE's APPNOTE, section 4.4.4.
_ENCRYPTED: Final = 0x1
_UTF_8: Final = 0x800

_EXTRA: Final = struct.Struct("<HH")
_UNICODE_PATH: Final = 0x7075
_PATH: Final = struct.Struct("<BI")

_UNIX: Final = 3
_HEADER_BYTES: Final = 30

_LOCKED: Final = "encrypted"
_LINK: Final = "It is a link to another member of the archive; write the archive without links."
_DAMAGES: Final = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError)


class ZipArchives(ArchiveKind):
    """Archives by PKWARE's APPNOTE, also beyond 4 GB."""

    def members(self, archive: ArchiveFile, _version: str, _wants: Wanted = nothing) -> Iterator[Member]:
        """Yields the members by their directory; the version of one is its checksum and size."""
        for info in _directory(archive):
            if not info.filename.endswith(("/", "\\")):
                yield _member(info)

    def read(self, archive: ArchiveFile, place: str, max_bytes: int) -> bytes:
        """Reads a member."""
        extent = Extent.parse(place)
        if extent is None:
            raise ImageError(FailureCode.PERMISSION_DENIED, "The member is encrypted; write the archive without.")
        return extent.read(archive.read_range, max_bytes)


def _directory(archive: ArchiveFile) -> list[zipfile.ZipInfo]:
    with archive.open() as file:
        try:
            with zipfile.ZipFile(file) as opened:
                return opened.infolist()
        except _DAMAGES as error:
            raise DamagedArchive.of(f"its directory cannot be read ({first_line(error)})") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # Of a seek to before the file's beginning.
                raise
            raise DamagedArchive.of("its directory is not where it says") from error


def _member(info: zipfile.ZipInfo) -> Member:
    name = _name(info)
    packing = Packing(info.compress_size, info.compress_type, info.CRC, _HEADER_BYTES + len(name) + len(info.extra))
    place = _LOCKED if info.flag_bits & _ENCRYPTED else str(Extent(info.header_offset, info.file_size, packing))
    version = f"{info.CRC:08x}-{info.file_size}"
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return Member(tidy_name(name), version, info.file_size, None, _LINK)
    return Member(tidy_name(name), version, info.file_size, place)


def _name(info: zipfile.ZipInfo) -> str:
    """Returns a member's name; many packers write UTF-8 without saying so, which would be read as code page 437.

    Others write the name in a code page of theirs, and once more as UTF-8 behind it.
    """
    name = info.filename
    if name.isascii() or info.flag_bits & _UTF_8:
        return name
    try:
        written = name.encode("cp437")
        return (_unicode_path(info.extra, written) or written).decode()
    except UnicodeError:
        return name


def _unicode_path(extra: bytes, written: bytes) -> bytes | None:
    """Returns the name in an extra field, if it belongs to the one that is written: section 4.6.9."""
    while len(extra) >= _EXTRA.size:
        kind, size = _EXTRA.unpack_from(extra)
        field, extra = extra[_EXTRA.size : _EXTRA.size + size], extra[_EXTRA.size + size :]
        if kind == _UNICODE_PATH and len(field) > _PATH.size and _PATH.unpack_from(field) == (1, zlib.crc32(written)):
            return field[_PATH.size :]
    return None
