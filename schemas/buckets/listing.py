"""Listing buckets through obstore: what it says of objects, as fsspec's file systems say it, and what it cannot tell.

It takes a key for a path. What is none stops a listing (`InexactKey`), but for slashes at the ends, which are lost on
the way: `/a.jpg` comes as `a.jpg`, and the object `a/`, by which some tools mark a folder, as `a`.
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias

import obstore
from obstore.exceptions import PermissionDeniedError

from schemas.buckets.stores import store_of
from schemas.clouds import InexactKey, bucket_errors

Info: TypeAlias = dict[str, Any]

# As many keys as a request is answered with.
PAGE: Final = 1000
# Nothing that is in use comes between it and keys that begin with a slash.
_BEFORE_SLASHES: Final = ".\U0010ffff"


class BucketListing(Protocol):
    """What is in the buckets of a cloud."""

    def object_info(self, bucket: str, key: str) -> Info:
        """Returns what is known of an object.

        Raises:
            FileNotFoundError: If there is none.
        """

    def level(self, bucket: str, key: str) -> list[Info]:
        """Returns what is in a folder, not what is in those in it.

        Raises:
            InexactKey: If there is a key that is no path.
        """

    def pages(self, bucket: str, key: str, most: int = PAGE) -> Iterator[list[Info]]:
        """Yields what is in a folder and in all those in it, a page of at most so many at a time.

        Raises:
            InexactKey: If there is a key that is no path.
        """

    def is_object(self, entry: Mapping[str, Any]) -> bool:
        """Whether there is an object by the key of a listed entry, and not one that marks a folder."""


class ObstoreListing(BucketListing):
    """What obstore lists."""

    def __init__(self, protocol: str) -> None:
        """Takes the cloud.

        Args:
            protocol: As in `store_of`.
        """
        self._protocol = protocol

    def object_info(self, bucket: str, key: str) -> Info:
        """Asks for an object."""
        with bucket_errors(f"{bucket}/{key}"):
            return _object_info(bucket, obstore.head(store_of(self._protocol, bucket), key))

    def level(self, bucket: str, key: str) -> list[Info]:
        """Lists a folder."""
        with bucket_errors(f"{bucket}/{key}"):
            found = obstore.list_with_delimiter(store_of(self._protocol, bucket), key or None)
        if "" in found["common_prefixes"]:
            raise InexactKey(f"{bucket} has keys that begin with a slash")
        # The object that stands for the folder itself has its key.
        entries = [_object_info(bucket, meta) for meta in found["objects"] if meta["path"] != key]
        return entries + [folder_info(f"{bucket}/{folder}") for folder in found["common_prefixes"]]

    def pages(self, bucket: str, key: str, most: int = PAGE) -> Iterator[list[Info]]:
        """Lists a folder and all those in it."""
        if not key:
            self._refuse_slashes(bucket)
        with bucket_errors(f"{bucket}/{key}"):
            for page in obstore.list(store_of(self._protocol, bucket), key or None, chunk_size=most):
                yield [_object_info(bucket, meta) for meta in page if meta["path"] != key]

    def is_object(self, entry: Mapping[str, Any]) -> bool:
        """Asks for an object, if it has no bytes."""
        if entry["size"]:
            return True
        bucket, _, key = entry["name"].partition("/")
        try:
            self.object_info(bucket, key)
        except FileNotFoundError:
            return False
        return True

    def _refuse_slashes(self, bucket: str) -> None:
        """Raises if keys begin with a slash: there is no object then by the first that is listed, or another one."""
        store = store_of(self._protocol, bucket)
        with bucket_errors(bucket):
            page = next(iter(obstore.list(store, offset=_BEFORE_SLASHES, chunk_size=PAGE)), [])
            objects = [meta for meta in page if meta["size"]]
            if not objects:
                return
            paths, is_itself = [meta["path"] for meta in objects], False
            with contextlib.suppress(FileNotFoundError, PermissionDeniedError):
                is_itself = _identity(obstore.head(store, paths[0])) == _identity(objects[0])
        if not is_itself or any(first >= second for first, second in itertools.pairwise(paths)):
            raise InexactKey(f"{bucket} may have keys that begin with a slash")


def _identity(meta: Mapping[str, Any]) -> tuple[Any, ...]:
    # Azure quotes ETags in headers alone; some servers tell milliseconds in listings alone.
    return (meta["e_tag"] or "").strip('"'), meta["size"], meta["last_modified"].replace(microsecond=0)


def _object_info(bucket: str, meta: Mapping[str, Any]) -> Info:
    """Returns what is known of an object, as s3fs says it."""
    return {
        "name": f"{bucket}/{meta['path']}",
        "size": meta["size"],
        "type": "file",
        "ETag": meta["e_tag"] or "",
        "LastModified": meta["last_modified"],
    }


def folder_info(path: str) -> Info:
    """Returns what is known of a folder."""
    return {"name": path, "size": 0, "type": "directory"}
