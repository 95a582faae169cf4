"""Files of buckets that are read again and again, kept on this machine by their content.

A file that is kept has its SHA-256 for its name and has been compared with it; so no file of another content is ever
taken for it, whatever became of the one in the bucket. A cache that cannot be written is none: then a file is fetched
each time.
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.caches.user_cache import cache_folder, evict, is_own
from schemas.storage import PublishedFile, file_system

FETCHED: Final = "fetched"

# An index of two million images by 1024 numbers; what has more bytes is fetched each time.
MOST_BYTES: Final = 8 * 10**9

_LOGGER: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def fetched_file(uri: str, expected: PublishedFile) -> Iterator[Path]:
    """Gives a file of a store as one on this machine: itself, where it is on its disks, else as it was fetched.

    Args:
        uri: The file.
        expected: What it has to be. One on this machine's disks is not compared with it.

    Yields:
        Its path. The file stays until the block ends; whoever has opened or mapped it may go on with it after that.

    Raises:
        ValueError: If what was fetched is another file.
        FileNotFoundError: If there is none.
        OSError: If it cannot be fetched.
    """
    fs, path = file_system(uri)
    if isinstance(fs, LocalFileSystem):
        yield Path(path)
        return
    kept = _kept(fs, path, expected)
    if kept is not None:
        yield kept
        return
    with _fetched(fs, path, expected, None) as copy:
        yield copy


def _kept(fs: fsspec.AbstractFileSystem, path: str, expected: PublishedFile) -> Path | None:
    """Returns a file of the cache, fetched if it is not there yet; None where that cannot be."""
    cache = cache_folder()
    if cache is None or not expected.sha256 or expected.size > MOST_BYTES:
        return None
    entry = cache / FETCHED / expected.sha256
    try:
        if is_own(entry) and entry.stat().st_size == expected.size:
            os.utime(entry)
            return entry
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _fetched(fs, path, expected, entry.parent) as copy:
            copy.replace(entry)
        evict(entry.parent.iterdir(), MOST_BYTES)
    except OSError:
        _LOGGER.debug("The file %s was not kept.", path, exc_info=True)
        return None
    return entry


@contextlib.contextmanager
def _fetched(fs: fsspec.AbstractFileSystem, path: str, expected: PublishedFile, folder: Path | None) -> Iterator[Path]:
    """Fetches a file into a folder, that for temporary files by default, and compares it with what it has to be."""
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    copy = Path(name)
    try:
        fs.get_file(path, name)
        different = expected.difference_of_file(copy)
        if different:
            raise ValueError(different)
        yield copy
    finally:
        copy.unlink(missing_ok=True)
