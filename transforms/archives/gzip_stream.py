"""What a gzip file unpacks to, as a file that is read and sought in, without unpacking it to disk.

A compressed tar has no directory, and its members can be reached only from its beginning. Images are read nearly in
the order of the archive, by several threads: what was unpacked last is kept, and every few megabytes the state of the
decompressor, so that going back costs milliseconds, whatever the size of the archive.
"""

import threading
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from schemas.errors import DamagedArchive, FailureCode, ImageError
from schemas.extents import Extent, RangeReader
from transforms.archives.archive import BYTES_PER_REQUEST, ArchiveFile, as_file
from transforms.archives.last_used import LastUsed

if TYPE_CHECKING:
    from zlib import _Decompress

_GZIP: Final = "gzip"

# What of a request is unpacked at once.
_PACKED_PER_STEP: Final = 2**16
_UNPACKED_PER_STEP: Final = 2**20

# What was unpacked last: threads take the images in order, and reach them in nearly that.
_BYTES_KEPT: Final = 4 * 2**20
# A state is some 100 KB with the bytes that wait in it.
_BYTES_PER_STATE: Final = 8 * 2**20
_STATES: Final = 128
# Each takes up to 30 MB.
_STREAMS_KEPT: Final = 3


class _State(NamedTuple):
    """Where a decompressor was.

    Attributes:
        unpacked: How many bytes it had unpacked.
        packed: How many it had read.
        decompressor: A copy of it.
    """

    unpacked: int
    packed: int
    decompressor: "_Decompress"


class GzipStream:
    """The bytes that a gzip file unpacks to. For several threads."""

    def __init__(self, read_packed: RangeReader, size: int | None = None) -> None:
        """Takes the file.

        Args:
            read_packed: Reads from it.
            size: How many bytes it has, if that is known: not every storage takes a request for none.
        """
        self._read = read_packed
        self._size = size
        self._request = b""
        self._requested_from = 0
        self._lock = threading.Lock()
        self._states = [_State(0, 0, _new_decompressor())]
        self._spacing = _BYTES_PER_STATE
        self._go_to(self._states[0])

    def read_range(self, start: int, end: int) -> bytes:
        """Reads from a place to before another; fewer bytes where the file ends before.

        Raises:
            DamagedArchive: If it cannot be unpacked so far.
            OSError: What its file system raises if the storage is at fault.
        """
        with self._lock:
            if start < self._kept_from:
                self._go_to(next(state for state in reversed(self._states) if state.unpacked <= start))
            while self._unpacked < end and self._step():
                self._forget_before(start)
            return bytes(self._kept[start - self._kept_from : end - self._kept_from]) if end > start else b""

    def opened(self) -> BinaryIO:
        """Returns it as a file."""
        return as_file(self.read_range, _PACKED_PER_STEP)

    def _go_to(self, state: _State) -> None:
        self._decompressor = state.decompressor.copy()
        self._packed, self._unpacked = state.packed, state.unpacked
        self._kept = bytearray()
        self._kept_from = state.unpacked

    def _step(self) -> bool:
        """Unpacks some more; returns whether there was more."""
        waiting = self._decompressor.unconsumed_tail or self._decompressor.unused_data
        packed = waiting or self._read_packed()
        if self._decompressor.eof:
            if not packed.strip(b"\0"):  # Tapes and some packers fill up with zeros.
                return bool(packed) and not waiting
            self._decompressor = _new_decompressor()
        elif not packed:
            raise DamagedArchive.of(f"it is compressed, and breaks off after {self._unpacked:,} unpacked bytes")
        try:
            found = self._decompressor.decompress(packed, _UNPACKED_PER_STEP)
        except zlib.error as error:
            raise DamagedArchive.of(f"it cannot be unpacked beyond {self._unpacked:,} bytes ({error})") from error
        self._kept += found
        self._unpacked += len(found)
        if self._unpacked >= self._states[-1].unpacked + self._spacing:
            self._keep_state()
        return True

    def _read_packed(self) -> bytes:
        if self._size is not None and self._packed >= self._size:
            return b""
        if not 0 <= self._packed - self._requested_from < len(self._request):
            self._request = self._read(self._packed, self._packed + BYTES_PER_REQUEST)
            self._requested_from = self._packed
        start = self._packed - self._requested_from
        packed = self._request[start : start + _PACKED_PER_STEP]
        self._packed += len(packed)
        return packed

    def _keep_state(self) -> None:
        self._states.append(_State(self._unpacked, self._packed, self._decompressor.copy()))
        if len(self._states) > _STATES:
            del self._states[1::2]
            self._spacing *= 2

    def _forget_before(self, start: int) -> None:
        """Keeps what was unpacked last, and what is asked for; twice as much, so that it is seldom moved."""
        before = min(start, self._unpacked - _BYTES_KEPT) - self._kept_from
        if before > _BYTES_KEPT:
            del self._kept[:before]
            self._kept_from += before


def packed_place(offset: int, size: int, version: str) -> str:
    """Returns the place of bytes in what a version of an archive unpacks to."""
    return f"{_GZIP}:{offset}:{size}:{version}"


class GzipStreams:
    """The compressed archives that were read last, each in one version."""

    def __init__(self) -> None:
        """Begins without archives."""
        self._streams = LastUsed[tuple[str, str], GzipStream](_STREAMS_KEPT)

    def read(self, archive: ArchiveFile, place: str, max_bytes: int) -> bytes:
        """Reads a member, of a compressed archive fastest in the order of the archive.

        Args:
            archive: The archive.
            place: Where it is, as `Extent` or `packed_place` writes it.
            max_bytes: The most bytes that it may have.

        Raises:
            ImageError: If it has more, or the archive is there in another version.
            DamagedArchive: If it cannot be unpacked so far.
            OSError: What its file system raises if the storage is at fault.
        """
        extent = Extent.parse(place)
        if extent is not None:
            return extent.read(archive.read_range, max_bytes)
        _, offset, size, version = place.split(":", 3)
        return Extent(int(offset), int(size)).read(self.of(archive, version).read_range, max_bytes)

    def of(self, archive: ArchiveFile, version: str) -> GzipStream:
        """Returns an archive unpacked.

        Raises:
            ImageError: If it is there in another version.
        """

        def begin() -> GzipStream:
            if archive.version() != version:
                raise ImageError(FailureCode.UNREADABLE, "The archive was written anew since it was listed.")
            return GzipStream(archive.read_range, archive.size())

        return self._streams.get((archive.uri, version), begin)


def _new_decompressor() -> "_Decompress":
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
