"""Fetching the bytes of an image. Pure of Beam: a ref in, bytes out, or an `ImageError`."""

import zlib
from collections.abc import Mapping
from typing import Any, Final

from fsspec.implementations.local import LocalFileSystem

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef
from schemas.storage import ANYWHERE, Reach, image_file, in_time, is_on_the_web, member_uri, with_retries
from schemas.uris import read_file
from transforms.archives import read_member

# No format of images begins so; an object that was stored with `Content-Encoding: gzip` does.
_GZIP: Final = b"\x1f\x8b\x08"


def fetch_image(ref: ImageRef, max_bytes: int, reach: Reach = ANYWHERE) -> bytes:
    """Reads an image file whole, trying again after longer and longer pauses where the storage is at fault.

    Args:
        ref: The image.
        max_bytes: The most bytes that are read, whatever a listing or a server says that there are.
        reach: Which servers may be asked, and how long the image may take, with everything that is tried again.

    Returns:
        The bytes; unpacked, if what is stored is packed by gzip.

    Raises:
        ImageError: If the file is missing, too large, or cannot be read, or may not be asked for.
        OSError: If the machine, not the file, is at fault (no memory, no file handles).
    """
    ref.check()
    content = with_retries(lambda: _read(ref, max_bytes), reach)
    return _unpacked(content, max_bytes) if content.startswith(_GZIP) else content


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
