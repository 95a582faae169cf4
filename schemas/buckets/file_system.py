"""File systems of fsspec that read buckets through obstore.

They read, look up and list, and never write. Their paths, and what they say of an object, are those of s3fs, gcsfs and
adlfs: the rows of a table keep their URIs and versions whichever of them has read an image.
"""

import contextlib
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

import obstore
from fsspec import AbstractFileSystem

from schemas.buckets.google_listing import GoogleListing
from schemas.buckets.listing import PAGE, BucketListing, Info, ObstoreListing, folder_info
from schemas.buckets.stores import ObjectStore, store_of
from schemas.clouds import BucketError, InexactKey, bucket_errors

_BEYOND_THE_END: Final = 416
# A server that unpacks on the way, or makes up its answer, does not know how long it is.
_WITHOUT_LENGTH: Final = "Content-Length Header missing"
_WITHOUT_RANGES: Final = "non-partial response when range requested"


class BucketFileSystem(AbstractFileSystem):
    """Reads, looks up and lists buckets, and leaves the keys that obstore cannot tell to fsspec's own file system.

    Attributes:
        cloud: The protocol by which `store_of` knows the cloud.
        listing: What is in its buckets.
    """

    root_marker = ""
    cachable = False
    cloud: ClassVar[str]
    listing: ClassVar[BucketListing]

    def __init__(self, whole: Callable[[str], AbstractFileSystem], **options: Any) -> None:
        """Makes a file system.

        Args:
            whole: Returns fsspec's own file system of a path.
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
                return _read(store_of(self.cloud, bucket), key, start or 0, end)
        except BucketError as error:
            if error.status == _BEYOND_THE_END:
                return b""
            if _WITHOUT_RANGES in str(error) and not start and end is not None:
                with bucket_errors(path):
                    return _beginning(store_of(self.cloud, bucket), key, end)
            if _WITHOUT_LENGTH not in str(error):
                raise
        return bytes(self._whole(path).cat_file(path, start=start, end=end))

    def info(self, path: str, **_: Any) -> Info:
        """Returns what is known of an object, or that it is a folder.

        Raises:
            FileNotFoundError: If there is neither.
            OSError: If nobody says.
        """
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        refusal: OSError = FileNotFoundError(path)
        if key:
            try:
                return self.listing.object_info(bucket, key)
            except (FileNotFoundError, PermissionError, BucketError) as error:
                if isinstance(error, BucketError) and not error.is_refusal:
                    raise
                refusal = error
        # A listing, and no HEAD: only an answer with a body says why it was refused.
        is_there = True
        with contextlib.suppress(InexactKey):
            is_there = any(self.listing.pages(bucket, key, 1))
        if key and not is_there:
            raise refusal
        return folder_info(path)

    def isdir(self, path: str) -> bool:
        """Whether it is a folder; unlike fsspec's own, it does not take a storage that is at fault for an answer.

        Raises:
            OSError: If nobody says.
        """
        return self._type_of(path) == "directory"

    def isfile(self, path: str) -> bool:
        """Whether it is an object; where there is none, nobody is asked if it is a folder.

        Raises:
            OSError: As in `isdir`.
        """
        bucket, key = _split(self._strip_protocol(path))
        try:
            return bool(key) and bool(self.listing.object_info(bucket, key))
        except FileNotFoundError:
            return False
        except (PermissionError, BucketError):
            return self._type_of(path) == "file"

    def _type_of(self, path: str) -> str:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return ""

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Lists a folder, by name.

        Raises:
            FileNotFoundError: If there is none.
        """
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        try:
            entries = self.listing.level(bucket, key)
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
            entries = (entry for page in self.listing.pages(*_split(root)) for entry in page)
            found = {_name(entry): entry for entry in entries if self.is_object(entry)}
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
            for page in self.listing.pages(*_split(root)):
                names = [last, *(_name(entry) for entry in page if entry["size"])]
                is_in_order, last = is_in_order and names == sorted(names), names[-1]
                yield page
        except InexactKey as error:
            if not is_in_order:
                raise OSError(f"{error}; --storage=fsspec lists it") from error
            # Pages come in the order of their keys: what is beyond the last of them is still to be listed.
            found = self._listed_whole("find", root, detail=True)
            yield [found[name] for name in sorted(found) if name > last]

    def is_object(self, entry: Mapping[str, Any]) -> bool:
        """Whether there is an object by the key of a streamed entry, and not one that marks a folder."""
        return self.listing.is_object(entry)

    def is_flat(self, path: str) -> bool:
        """Whether a folder seems to hold more objects itself than in the folders in it, and more than one page."""
        root = self._strip_protocol(path)
        page = next(self.stream(root), [])
        return len(page) >= PAGE - 1 and sum(_depth(_name(entry), root) == 1 for entry in page) > len(page) / 2

    def invalidate_cache(self, path: str | None = None) -> None:
        """Does nothing: no listing is kept."""

    def _listed_whole(self, how: str, path: str, **options: Any) -> Any:
        """Lists by fsspec's own file system, which keeps every listing: a kilobyte a key."""
        whole = self._whole(path)
        whole.invalidate_cache()
        listed = getattr(whole, how)(path, **options)
        whole.invalidate_cache()
        return listed


class S3FileSystem(BucketFileSystem):
    """Buckets of S3."""

    protocol = ("s3", "s3a")
    cloud = "s3"
    listing = ObstoreListing("s3")


class GoogleFileSystem(BucketFileSystem):
    """Google's buckets."""

    protocol = ("gs", "gcs")
    cloud = "gs"
    listing = GoogleListing()


class AzureFileSystem(BucketFileSystem):
    """Azure's containers. A path has the account behind the container, where its URI names one."""

    protocol = ("abfs", "az", "abfss")
    cloud = "abfs"
    listing = ObstoreListing("abfs")

    def _listed_whole(self, how: str, path: str, **options: Any) -> Any:
        if "@" in path.partition("/")[0]:
            raise OSError(f"{path} has keys that are no paths: name its account by AZURE_STORAGE_ACCOUNT_NAME instead")
        return super()._listed_whole(how, path, **options)


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
