"""Fetching the bytes of images. Pure of Beam: a ref in, bytes out, or an `ImageError`.

Members that lie together in an archive of a bucket or a server are fetched by one request: small ones cost what a
request costs, whatever their size.
"""

import dataclasses
import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from schemas.errors import FailureCode, ImageError
from schemas.extents import Extent, RangeReader
from schemas.images import ImageRef
from schemas.storage import (
    ANYWHERE,
    Reach,
    Watch,
    image_file,
    in_time,
    is_local,
    is_on_the_web,
    member_uri,
    unwatched,
    with_retries,
)
from schemas.uris import read_file
from transforms.archives import ArchiveFile, read_member
from transforms.images.batches import BadImage, ImageFile
from transforms.images.decoder import Content
from transforms.runtime import Meter, ReadWindow

# No format of images begins so; an object that was stored with `Content-Encoding: gzip` does.
_GZIP: Final = b"\x1f\x8b\x08"

# What a request may take at once, and what it may read for nothing: as long as another request would take.
_BYTES_TOGETHER: Final = 4 * 2**20
_BYTES_BETWEEN: Final = 64 * 2**10
_MEMBERS_TOGETHER: Final = 32


def fetch_image(ref: ImageRef, max_bytes: int, reach: Reach = ANYWHERE, watch: Watch = unwatched) -> bytes:
    """Reads an image file whole, trying again after longer and longer pauses where the storage is at fault.

    Args:
        ref: The image.
        max_bytes: The most bytes that are read, whatever a listing or a server says that there are.
        reach: Which servers may be asked, and how long the image may take, with everything that is tried again.
        watch: Is told of each attempt that failed and is followed by another one.

    Returns:
        The bytes; unpacked, if what is stored is packed by gzip.

    Raises:
        ImageError: If the file is missing, too large, or cannot be read, or may not be asked for.
        OSError: If the machine, not the file, is at fault (no memory, no file handles).
    """
    return _tried(ref, lambda: _read(ref, max_bytes), max_bytes, reach, watch)


def _tried(ref: ImageRef, read: Callable[[], bytes], max_bytes: int, reach: Reach, watch: Watch) -> bytes:
    ref.check()
    content = with_retries(read, reach, watch)
    return _unpacked(content, max_bytes) if content.startswith(_GZIP) else content


class _Span(NamedTuple):
    """Bytes of an archive, from `start` to before `end`."""

    archive_uri: str
    start: int
    end: int


class Together(NamedTuple):
    """Images that are fetched by one request.

    Attributes:
        first: The row of the first of them; the others follow it.
        refs: The images.
        span: Where they are, if they are members of which that is known.
    """

    first: int
    refs: Sequence[ImageRef]
    span: _Span | None

    @property
    def size(self) -> int | None:
        """The bytes that are read; None where they are not known."""
        return self.span.end - self.span.start if self.span else self.refs[0].size


def lying_together(refs: Iterable[ImageRef], max_bytes: int) -> Iterator[Together]:
    """Divides images into those that one request fetches, in their order: members side by side, or single images.

    Args:
        refs: The images.
        max_bytes: The most bytes of an image that are read.
    """
    together: list[ImageRef] = []
    whole: _Span | None = None
    first = 0
    for row, ref in enumerate(refs):
        span = _span(ref, max_bytes)
        joined = _joined(whole, span) if len(together) < _MEMBERS_TOGETHER else None
        if together and joined is None:
            yield Together(first, together, whole)
            together, first = [], row
        together.append(ref)
        whole = joined or span
    if together:
        yield Together(first, together, whole)


def _span(ref: ImageRef, max_bytes: int) -> _Span | None:
    """Returns where a member is that a range of bytes is read for; None if it is none, or on this machine."""
    member = member_uri(ref.location) if ref.problem is None else None
    if member is None or ref.place is None or is_local(member.archive_uri):
        return None
    extent = Extent.parse(ref.place)
    is_read = extent is not None and extent.size <= max_bytes
    return _Span(member.archive_uri, extent.offset, extent.end) if extent and is_read else None


def _joined(whole: _Span | None, span: _Span | None) -> _Span | None:
    """Returns both as one; None if they are too far from each other, or too long together."""
    if whole is None or span is None or whole.archive_uri != span.archive_uri:
        return None
    is_near = whole.start <= span.start <= whole.end + _BYTES_BETWEEN
    end = max(whole.end, span.end)
    return whole._replace(end=end) if is_near and end - whole.start <= _BYTES_TOGETHER else None


def fetch_together(
    together: Together, max_bytes: int, reach: Reach = ANYWHERE, watch: Watch = unwatched
) -> list[bytes | ImageError]:
    """Reads images by one request; where that fails, each by itself.

    Args:
        together: The images.
        max_bytes: As in `fetch_image`, for each image; so are the others.
        reach: Which servers, and how long.
        watch: Is told of attempts.

    Returns:
        The bytes of each image, or why there are none.

    Raises:
        OSError: If the machine is at fault.
    """
    span = together.span if len(together.refs) > 1 else None
    read_range = _read_at_once(span, reach, watch) if span else None
    fetched: list[bytes | ImageError] = []
    for ref in together.refs:
        extent = Extent.parse(ref.place or "")
        read = functools.partial(_read, ref, max_bytes)
        if extent is not None and read_range is not None:
            read = functools.partial(extent.read, read_range, max_bytes)
        try:
            fetched.append(_tried(ref, read, max_bytes, reach, watch))
        except ImageError as error:
            fetched.append(error)
    return fetched


@dataclasses.dataclass(frozen=True)
class Fetcher:
    """Fetches the files of a shard, and measures what it reads. Safe to be used from several threads.

    Attributes:
        max_bytes: The most bytes of a file that are read.
        reach: Which servers may be asked, and how long fetching one image may take.
        window: How many files are fetched at once; it is narrowed where the storage asks for fewer.
        meter: Measures bytes and attempts.
    """

    max_bytes: int
    reach: Reach
    window: ReadWindow
    meter: Meter

    def fetch(self, numbered: tuple[int, ImageRef]) -> ImageFile | BadImage:
        """Fetches an image, which comes with its row."""
        row, ref = numbered
        try:
            data = fetch_image(ref, self.max_bytes, self.reach, self._watch)
        except ImageError as error:
            return BadImage(row, error)
        self.meter.read(len(data))
        return _image_file(row, data)

    def fetch_all(self, numbered: Iterable[tuple[int, ImageRef]]) -> list[ImageFile | BadImage]:
        """Fetches images, one after another."""
        return list(map(self.fetch, numbered))

    def fetch_together(self, together: Together) -> list[ImageFile | BadImage]:
        """Fetches images by one request."""
        if len(together.refs) == 1:
            return [self.fetch((together.first, together.refs[0]))]
        fetched = fetch_together(together, self.max_bytes, self.reach, self._watch)
        self.meter.read(sum(len(data) for data in fetched if isinstance(data, bytes)))
        return [
            BadImage(row, data) if isinstance(data, ImageError) else _image_file(row, data)
            for row, data in enumerate(fetched, together.first)
        ]

    def _watch(self, is_throttled: bool, seconds: float) -> None:
        self.meter.tried_again(is_throttled, seconds)
        if is_throttled:
            self.window.throttled()


def _image_file(row: int, data: bytes) -> ImageFile:
    return ImageFile(row, Content(hashlib.sha256(data).hexdigest(), len(data)), data)


def _read_at_once(span: _Span, reach: Reach, watch: Watch) -> RangeReader | None:
    """Reads a span, and returns what reads from it; None if it cannot be read."""
    archive = ArchiveFile(span.archive_uri)
    try:
        content = with_retries(lambda: archive.read_range(span.start, span.end), reach, watch)
    except ImageError:
        return None

    def read_range(start: int, end: int) -> bytes:
        if span.start <= start and end <= span.start + len(content):
            return content[start - span.start : end - span.start]
        return archive.read_range(start, end)

    return read_range


def _read(ref: ImageRef, max_bytes: int) -> bytes:
    member = member_uri(ref.location)
    if member is not None:
        return read_member(member, ref.place, max_bytes)
    fs, path = image_file(ref.location)
    if isinstance(fs, LocalFileSystem):
        _check_size(fs.size(path) if ref.size is None else ref.size, max_bytes)
        return _whole(read_file(path, 0, max_bytes + 1), ref.size, max_bytes)
    # On the web a size is what a server says of another answer; the read itself ends at the limit.
    on_the_web = is_on_the_web(ref.uri)
    size = fs.size(path, **in_time(fs)) if ref.size is None and not on_the_web else ref.size
    _check_size(size or 0, max_bytes)
    if size == 0 and not on_the_web:
        return b""  # Of nothing no storage sends a beginning.
    content = bytes(fs.cat_file(path, end=max_bytes + 1, **in_time(fs)))
    is_all = size is None or len(content) >= size or _was_unpacked(fs.info(path, **in_time(fs)))
    return _whole(content, None if is_all else size, max_bytes)


def _whole(content: bytes, size: int | None, max_bytes: int) -> bytes:
    if len(content) > max_bytes:
        raise ImageError(FailureCode.TOO_MANY_BYTES, f"The file has more bytes than the limit of {max_bytes:,}.")
    # A connection that breaks off may look like the end of the file.
    if size is not None and len(content) < size:
        raise ImageError(
            FailureCode.UNREADABLE,
            f"The file has {size:,} bytes, {len(content):,} were read: it broke off.",
        )
    return content


def _was_unpacked(info: Mapping[str, Any]) -> bool:
    """Whether the storage tells the size of what it holds packed, and sends it unpacked, as Google's does."""
    return info.get("contentEncoding") == "gzip"


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageError(FailureCode.TOO_MANY_BYTES, f"The file has {size:,} bytes, the limit is {max_bytes:,}.")


def _unpacked(packed: bytes, max_bytes: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = unpacking.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise ImageError(FailureCode.UNREADABLE, f"The file is packed by gzip, and broken: {error}") from error
    if len(content) > max_bytes:
        raise ImageError(FailureCode.TOO_MANY_BYTES, f"Unpacked, the file has more than {max_bytes:,} bytes.")
    if not unpacking.eof:
        raise ImageError(FailureCode.UNREADABLE, "The file is packed by gzip, and breaks off.")
    return content
