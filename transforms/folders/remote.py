"""Folders of buckets, archives and servers: whatever fsspec lists, a level at a time, or as a stream where it can."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec

from schemas.buckets import BucketFileSystem
from schemas.clouds import BucketUnavailable
from schemas.errors import InvalidInput
from schemas.images import listed_version
from schemas.storage import input_file_system, uri_builder
from transforms.folders.found_file import FoundFile
from transforms.folders.local import unreadable_folder
from transforms.folders.selection import IgnoredFiles, Selection

Info = Mapping[str, Any]


class FolderLister:
    """Lists single folders of an input.

    Attributes:
        root: The input's own path in its file system.
    """

    def __init__(self, uri: str, selection: Selection, ignored: IgnoredFiles) -> None:
        """Takes what is asked for.

        Args:
            uri: The input.
            selection: Which files are taken and which folders gone into.
            ignored: Where the others are counted.
        """
        self._fs: fsspec.AbstractFileSystem
        self._fs, self.root = input_file_system(uri)
        self._to_uri = uri_builder(uri, self._fs)
        self._selection = selection
        self._ignored = ignored

    def files(self, folder: str, folders: list[str]) -> Iterator[FoundFile]:
        """Yields the images in a folder, by name, and puts the folders in it into `folders`.

        Raises:
            InvalidInput: If it may not be read.
            OSError: If it cannot be listed.
        """
        for name, info in sorted(self._entries(folder), key=lambda entry: entry[0]):
            path = self._under(info["name"])
            is_folder = info["type"] == "directory"
            if is_folder and self._selection.enters(path, name):
                folders.append(info["name"].rstrip("/"))
            elif not is_folder and self._selection.ignored_at(path) is None:
                yield _found(self._to_uri(info["name"]), info)
            else:
                self._ignored.files += 1

    def is_flat(self, folder: str) -> bool:
        """Whether a folder is better listed as a stream than level by level: it has few folders, or none."""
        return isinstance(self._fs, BucketFileSystem) and self._fs.is_flat(folder)

    def below(self, folder: str) -> Iterator[FoundFile]:
        """Yields the images in a folder and in those in it: by key from a stream, else a folder after the other.

        Raises:
            InvalidInput: If one may not be read.
            OSError: If one cannot be listed.
        """
        if isinstance(self._fs, BucketFileSystem):
            yield from self._streamed(self._fs, folder)
            return
        pending = [folder]
        while pending:
            inner: list[str] = []
            yield from self.files(pending.pop(), inner)
            pending += reversed(inner)

    def _streamed(self, fs: BucketFileSystem, folder: str) -> Iterator[FoundFile]:
        last_ignored = ""
        with self._readable(folder):
            for info in itertools.chain.from_iterable(fs.stream(folder)):
                ignored = self._selection.ignored_at(self._under(info["name"]))
                if ignored is None:
                    if fs.is_object(info):
                        yield _found(self._to_uri(info["name"]), info)
                elif ignored != last_ignored and info["size"]:
                    last_ignored = ignored  # The keys of a folder come together.
                    self._ignored.files += 1

    @contextlib.contextmanager
    def _readable(self, folder: str) -> Iterator[None]:
        try:
            yield
        except BucketUnavailable:
            raise
        except PermissionError as error:
            raise InvalidInput(unreadable_folder(self._to_uri(folder), self._under(folder))) from error

    def _entries(self, folder: str) -> Iterator[tuple[str, Info]]:
        for info in self._list(folder):
            path = info["name"].rstrip("/")
            if path != folder.rstrip("/"):
                yield path.rpartition("/")[2], info
            elif info["type"] == "directory":
                # Of keys such as `a//b.jpg`, `ls` shows a folder without a name, into which it does not go.
                yield from self._below_nameless(path)

    def _list(self, folder: str) -> list[Info]:
        with self._readable(folder):
            listed: list[Info] = self._fs.ls(folder, detail=True)
        self._fs.invalidate_cache(folder)  # Cloud file systems keep every listing, a kilobyte a file.
        return listed

    def _below_nameless(self, folder: str) -> Iterator[tuple[str, Info]]:
        found = self._fs.find(folder, detail=True)
        self._fs.invalidate_cache()  # It makes listings of folders out of it, those without a name left out.
        for path, info in found.items():
            if path.startswith(f"{folder}//"):
                yield path.rpartition("/")[2], info

    def _under(self, path: str) -> str:
        return path[len(self.root) :].strip("/")


def matching_files(uri: str, selection: Selection, ignored: IgnoredFiles) -> Iterator[FoundFile]:
    """Yields the files that a glob takes, by path.

    Args:
        uri: The glob.
        selection: Which of them are left out.
        ignored: Where these are counted.

    Raises:
        OSError: If they cannot be listed.
    """
    fs, path = input_file_system(uri)
    root, _ = split_glob(path)
    to_uri = uri_builder(uri, fs)
    for name, info in sorted(fs.glob(path, detail=True).items()):
        if info["type"] != "file":
            continue
        if selection.ignored_at(name[len(root) :].lstrip("/")) is None:
            yield _found(to_uri(name), info)
        else:
            ignored.files += 1


def split_glob(path: str) -> tuple[str, str]:
    """Returns the folder above a glob's first wildcard, and the glob under it.

    >>> split_glob("/photos/2026-*/*.jpg")
    ('/photos', '2026-*/*.jpg')
    """
    wildcard = min(path.index(sign) for sign in "*?[" if sign in path)
    root = path[:wildcard].rpartition("/")[0]
    return root or "/", path[len(root) :].lstrip("/")


def _found(uri: str, info: Info) -> FoundFile:
    return FoundFile(uri, listed_version(info), info.get("size"))
