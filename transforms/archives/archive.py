"""What an archive is: a file that holds images as members, each of which is read by its place in it.

A kind of archive is a class with two methods: `members` lists what an archive holds, once, from its beginning or from
its directory; `read` gives the bytes of one member by the place that `members` has found, without listing it again.
"""

import abc
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import DamagedArchive, FailureCode, ImageError
from schemas.extents import RangeReader
from schemas.images import image_version
from schemas.storage import in_time, input_file_system, with_retries
from schemas.uris import check_regular, read_file

# A request to a bucket or a server, where a file is read from one end to the other.
BYTES_PER_REQUEST: Final = 2**20


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: Its path in the archive, tidy as `schemas.storage.tidy_name` makes it.
        version: What changes when its bytes change.
        size: How many bytes it has; None where only reading it tells.
        place: Where they are, as its kind of archive writes it; None where it is no file that has bytes.
        problem: Why it cannot be read, where that is known.
        content: Its bytes, where they were asked for.
    """

    name: str
    version: str
    size: int | None
    place: str | None
    problem: str | None = None
    content: bytes | None = None


# Says of a member's name whether its bytes are wanted with the listing.
Wanted = Callable[[str], bool]


def nothing(_name: str) -> bool:
    """Wants the bytes of no member."""
    return False


@dataclasses.dataclass(frozen=True)
class ArchiveFile:
    """An archive as a file. What reads a member may have what it needs already, and asks for nothing then.

    Attributes:
        uri: Where it is, in canonical form.
    """

    uri: str

    @functools.cached_property
    def _located(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return input_file_system(self.uri)

    def version(self) -> str:
        """Asks the storage for what changes when the archive changes.

        Raises:
            OSError: What the file system raises if it is not there.
        """
        info = self._info()
        return image_version(info) or str(info.get("size"))

    def size(self) -> int | None:
        """Asks the storage how many bytes it has; None where that is not known."""
        size: int | None = self._info().get("size")
        return size

    def _info(self) -> Mapping[str, Any]:
        fs, path = self._located
        info: Mapping[str, Any] = fs.info(path, **in_time(fs))
        return info

    def head(self, count: int) -> bytes:
        """Reads its first bytes; asks again where the storage is at fault."""
        return with_retries(lambda: self.read_range(0, count))

    def open(self) -> BinaryIO:
        """Opens it for sequential reads, and seeks."""
        fs, path = self._located
        if isinstance(fs, LocalFileSystem):
            check_regular(path)
            return Path(path).open("rb")
        return as_file(self.read_range, BYTES_PER_REQUEST, self.size())

    @property
    def read_range(self) -> RangeReader:
        """Reads a range of its bytes by a request of its own, from any thread."""
        fs, path = self._located
        return functools.partial(read_file, path) if isinstance(fs, LocalFileSystem) else self._read_remote

    def _read_remote(self, start: int, end: int) -> bytes:
        fs, path = self._located
        found = bytes(fs.cat_file(path, start=start, end=end, **in_time(fs))) if end > start else b""
        if len(found) > end - start:
            raise DamagedArchive.of("its server sends the whole file where a part of it is asked for")
        return found


def as_file(read_range: RangeReader, buffer_bytes: int, size: int | None = None) -> BinaryIO:
    """Returns ranges of bytes as a file; each is asked for again where the storage is at fault.

    Args:
        read_range: Reads a range.
        buffer_bytes: How many bytes are asked for at least.
        size: How many there are, if that is known.
    """
    return cast("BinaryIO", io.BufferedReader(_Ranges(read_range, size), buffer_bytes))


class _Ranges(io.RawIOBase):
    """A place in a file that is read by ranges."""

    def __init__(self, read_range: RangeReader, size: int | None) -> None:
        self._read_range = read_range
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            if self._size is None:
                raise ImageError(FailureCode.UNREADABLE, "Its storage does not say how long it is.")
            offset += self._size
        at = offset + (self._at if whence == io.SEEK_CUR else 0)
        if at < 0:
            raise ValueError(f"There is no byte {at}.")
        self._at = at
        return at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        start, end = self._at, self._at + len(buffer)
        if self._size is not None:
            end = max(start, min(end, self._size))
        found = with_retries(lambda: self._read_range(start, end))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


class ArchiveKind(abc.ABC):
    """A kind of archive."""

    @abc.abstractmethod
    def members(self, archive: ArchiveFile, version: str, wants: Wanted = nothing, /) -> Iterator[Member]:
        """Yields the members of an archive that are files, in the order of the archive.

        Args:
            archive: The archive.
            version: Its version.
            wants: Which small members are read on the way, if that costs nothing; a ZIP archive's are not.

        Raises:
            DamagedArchive: Where it cannot be read, after the members that can be.
            OSError: What its file system raises if the storage is at fault.
        """

    @abc.abstractmethod
    def read(self, archive: ArchiveFile, place: str, max_bytes: int) -> bytes:
        """Reads a member.

        Args:
            archive: The archive.
            place: Where it is, by `members`.
            max_bytes: The most bytes that it may have; no more are unpacked, whatever the archive says.

        Raises:
            ImageError: If it has more, or is damaged.
            OSError: What its file system raises if the storage is at fault.
        """
