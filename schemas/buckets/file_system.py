"""File systems of fsspec that read buckets through obstore.

They read, look up and list, and never write. Their paths, and what they say of an object, are those of s3fs and gcsfs:
the rows of a table keep their URIs and versions whichever of them has read an image.
"""

import contextlib
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import obstore
from fsspec import AbstractFileSystem

from schemas.buckets.errors import BucketError, InexactKey, bucket_errors
from schemas.buckets.listing import PAGE, Info, folder_info, is_object, level, object_info, pages
from schemas.buckets.stores import ObjectStore, store_of

_BEYOND_THE_END: Final = 416
# A server that unpacks on the way, or makes up its answer, does not know how long it is.
_WITHOUT_LENGTH: Final = "Content-Length Header missing"
_WITHOUT_RANGES: Final = "non-partial response when range requested"


class ObjectFileSystem(AbstractFileSystem):
    """Reads objects through obstore, and leaves everything else to whom it is made for."""

    root_marker = ""
    cachable = False

    def __init__(self, whole: Callable[[], AbstractFileSystem], **options: Any) -> None:
        """Makes a file system.

        Args:
            whole: Returns fsspec's own file system, which knows keys that obstore does not.
            **options: fsspec's own.
        """
        super().__init__(**options)
        self._whole = whole

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Reads an object, or a range of it; beyond its end there is nothing."""
        bucket, key = _split(self._strip_protocol(path))
        if start is not None and end is not None and 0 <= end <= start:
            return b""
        try:
            with bucket_errors(path):
                return _read(store_of(self.protocol[0], bucket), key, start or 0, end)
        except BucketError as error:
            if error.status == _BEYOND_THE_END:
                return b""
            if _WITHOUT_RANGES in str(error) and not start and end is not None:
                with bucket_errors(path):
                    return _beginning(store_of(self.protocol[0], bucket), key, end)
            if _WITHOUT_LENGTH not in str(error):
                raise
        return bytes(self._whole().cat_file(path, start=start, end=end))

    def info(self, path: str, **options: Any) -> Info:
        """Returns what is known of an object or a folder."""
        found: Info = self._whole().info(path, **options)
        return found

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """Lists a folder."""
        return list(self._whole().ls(path, detail=detail, **options))

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        """Finds all objects below a folder."""
        return self._whole().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forgets listings."""
        self._whole().invalidate_cache(path)


class GoogleFileSystem(ObjectFileSystem):
    """Reads objects of Google's; gcsfs lists them and looks them up: it has their generations, which are versions."""

    protocol = ("gs", "gcs")


class BucketFileSystem(ObjectFileSystem):
    """Reads, looks up and lists buckets of S3 through obstore."""

    protocol = ("s3", "s3a")

    def info(self, path: str, **_: Any) -> Info:
        """Returns what is known of an object, or that it is a folder.

        Raises:
            FileNotFoundError: If there is neither.
        """
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        if key:
            with contextlib.suppress(FileNotFoundError), bucket_errors(path):
                return object_info(bucket, obstore.head(store_of("s3", bucket), key))
        is_there = True
        with contextlib.suppress(InexactKey), bucket_errors(path):
            # A listing, and no HEAD: only an answer with a body says why it was refused.
            is_there = any(obstore.list(store_of("s3", bucket), key or None, chunk_size=1))
        if key and not is_there:
            raise FileNotFoundError(path)
        return folder_info(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Lists a folder, by name.

        Raises:
            FileNotFoundError: If there is none.
        """
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        try:
            entries = level(bucket, key)
        except InexactKey:
            return list(self._listed_whole("ls", path, detail=detail))
        if not entries and key:
            itself = self.info(path)
            entries = [itself] if itself["type"] == "file" else []
        entries.sort(key=_name)
        return entries if detail else [_name(entry) for entry in entries]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        """Finds all objects below a folder, by name."""
        root = self._strip_protocol(path)
        try:
            entries = (entry for page in pages(*_split(root)) for entry in page)
            found = {_name(entry): entry for entry in entries if is_object(entry)}
        except InexactKey:
            return self._listed_whole("find", root, maxdepth=maxdepth, withdirs=withdirs, detail=detail)
        if not found and self.isfile(root):
            found = {root: self.info(root)}
        if withdirs:
            found |= {folder: folder_info(folder) for folder in _folders_of(found, root)}
        kept = {name: found[name] for name in sorted(found) if maxdepth is None or _depth(name, root) <= maxdepth}
        return kept if detail else list(kept)

    def stream(self, path: str) -> Iterator[list[Info]]:
        """Yields what is below a folder, by key, a page of the store at a time; nothing of it is kept.

        An entry of no bytes may stand for a folder, its key without the slash at its end: `is_object` asks.

        Raises:
            OSError: If it cannot be listed.
        """
        root, last, is_in_order = self._strip_protocol(path), "", True
        try:
            for page in pages(*_split(root)):
                names = [last, *(_name(entry) for entry in page if entry["size"])]
                is_in_order, last = is_in_order and names == sorted(names), names[-1]
                yield page
        except InexactKey as error:
            if not is_in_order:
                raise OSError(f"{error}; --storage=fsspec lists it") from error
            # Pages come in the order of their keys: what is beyond the last of them is still to be listed.
            found = self._listed_whole("find", root, detail=True)
            yield [found[name] for name in sorted(found) if name > last]

    def is_flat(self, path: str) -> bool:
        """Whether a folder seems to hold more objects itself than in the folders in it, and more than one page."""
        root = self._strip_protocol(path)
        page = next(self.stream(root), [])
        return len(page) >= PAGE - 1 and sum(_depth(_name(entry), root) == 1 for entry in page) > len(page) / 2

    def invalidate_cache(self, path: str | None = None) -> None:
        """Does nothing: no listing is kept."""

    def _listed_whole(self, how: str, path: str, **options: Any) -> Any:
        """Lists by fsspec's own file system, which keeps every listing: a kilobyte a key."""
        whole = self._whole()
        whole.invalidate_cache()
        listed = getattr(whole, how)(path, **options)
        whole.invalidate_cache()
        return listed


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("/")
    return bucket, key


def _read(store: ObjectStore, key: str, start: int, end: int | None) -> bytes:
    if not start and end is None:
        return obstore.get(store, key).bytes().to_bytes()
    if start < 0 and end is None:
        return obstore.get(store, key, options={"range": {"suffix": -start}}).bytes().to_bytes()
    if end is None:
        return obstore.get(store, key, options={"range": {"offset": start}}).bytes().to_bytes()
    if start < 0 or end < 0:
        start, end, _ = slice(start, end).indices(obstore.head(store, key)["size"])
    return obstore.get_range(store, key, start=start, end=end).to_bytes() if start < end else b""


def _beginning(store: ObjectStore, key: str, end: int) -> bytes:
    """Reads an object as far as a byte, from a server that knows no ranges."""
    content = bytearray()
    for chunk in obstore.get(store, key).stream():
        content += bytes(chunk)
        if len(content) >= end:
            break
    return bytes(content[:end])


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"])


def _folders_of(paths: Iterable[str], root: str) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        folder = posixpath.dirname(path)
        while len(folder) > len(root) and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return folders


def _depth(path: str, root: str) -> int:
    return path[len(root) :].count("/")
