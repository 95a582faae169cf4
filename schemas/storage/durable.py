"""Files that are on the disk, whole, once they are written: what vouches for a file is written after it.

On a local disk data are synced, then renamed to their name, then the folder is synced. Without that a power cut leaves
files of zeros, files of no bytes, and names without files (Pillai et al., "All File Systems Are Not Created Equal",
OSDI 2014). Object storage shows an object whole or not at all.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from fsspec.implementations.local import LocalFileSystem

from schemas.storage.filesystems import file_system

# How the names of files end that a kill has left before they got their own.
UNFINISHED: Final = ".unfinished"


def write_file(uri: str, data: bytes) -> None:
    """Writes a file, in the place of the one that may be there. Readers see the old one or the new one, never a part.

    Raises:
        OSError: If it cannot be written; the old file is still there then.
    """
    fs, path = file_system(uri)
    if isinstance(fs, LocalFileSystem):
        with _whole_local_file(Path(path)) as file:
            file.write(data)
    else:
        fs.pipe_file(path, data)


@contextlib.contextmanager
def whole_file(uri: str) -> Iterator[IO[bytes]]:
    """Opens a file that is written piece by piece, and gets its name when the block ends: whole, or not at all.

    For storage that is not of this machine the pieces are gathered in a temporary file.

    Raises:
        OSError: If it cannot be written; what stood under the name is still there then.
    """
    fs, path = file_system(uri)
    if isinstance(fs, LocalFileSystem):
        with _whole_local_file(Path(path)) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile() as file:
        yield file
        file.flush()
        fs.put_file(file.name, path)


def is_device(path: Path) -> bool:
    """Whether a path names what is written to as it is, and not replaced by a file: /dev/null, a pipe, a terminal."""
    return path.parent == Path("/dev") or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def _whole_local_file(path: Path) -> Iterator[IO[bytes]]:
    if is_device(path):
        with path.open("wb") as device:
            yield device
        return
    make_folder(path.parent)
    unfinished = path.with_name(f".{uuid.uuid4()}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(path.parent)


def sync_file(uri: str) -> None:
    """Syncs a file that is finished, and its name in its folder. What others have removed meanwhile is no error.

    Raises:
        OSError: If the disk is at fault.
    """
    fs, path = file_system(uri)
    if isinstance(fs, LocalFileSystem) and Path(path).exists():
        _sync(Path(path))
        _sync(Path(path).parent)


def rename_folder(folder: Path, target: Path) -> None:
    """Renames a local folder whose files are synced.

    Raises:
        OSError: If there is a folder with something in it already.
    """
    folder.rename(target)
    _sync(target.parent)


def make_folder(folder: Path) -> None:
    """Makes a local folder and those above it, each one's name synced in the one above.

    Raises:
        OSError: If it cannot be made.
    """
    if folder.exists():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # Of folders that may be passed and not read; and of all on Windows.
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
