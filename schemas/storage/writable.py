"""Whether what a command is to write can be written, found out before any work.

Of a bucket no more is known before the first write than whether it can be reached. A store needs storage, too, that
lets only one of two writers create a file: every atomic commit stands on that.
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import StoreNotWritable, UsageError, first_line
from schemas.storage.durable import is_device
from schemas.storage.filesystems import check_reachable, file_system
from schemas.uris import join

_ENTER_AND_WRITE: Final = os.W_OK | os.X_OK
_PROBE: Final = b"convbase asks whether this file can be created twice.\n"


@contextlib.contextmanager
def refused_if_not_writable(what: str, refusal: type[UsageError] = UsageError) -> Iterator[None]:
    """Turns what a file system has against a write into one sentence.

    Args:
        what: What was to be written, as the sentence begins.
        refusal: The error that says it.

    Raises:
        UsageError: If it cannot be written; `refusal`, to be exact.
    """
    try:
        yield
    except OSError as error:
        raise refusal(f"{what} cannot be written: {first_line(error).rstrip('.')}.") from error


def check_folder(what: str, *uris: str, refusal: type[UsageError] = UsageError) -> None:
    """Checks that folders can be made or written, without making them.

    Args:
        what: What is to be written there, as the sentence begins that refuses it.
        uris: The folders.
        refusal: The error that says it.

    Raises:
        UsageError: If one of them cannot; `refusal`, to be exact.
        StoreUnreachable: As in `check_reachable`.
    """
    with refused_if_not_writable(what, refusal):
        for uri in uris:
            path = _local_path(uri)
            if path is not None:
                _check_local_folder(path)


def check_file(what: str, uri: str) -> None:
    """Checks that a file can be written, in the place of the one that may be there, without writing it.

    Args:
        what: What is to be written there, as the sentence begins that refuses it.
        uri: The file.

    Raises:
        UsageError: If it cannot.
        StoreUnreachable: As in `check_reachable`.
    """
    with refused_if_not_writable(what):
        path = _local_path(uri)
        if path is None:
            return
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if is_device(path):
            _check_access(path, os.W_OK)
        else:
            _check_local_folder(path.parent)


def check_created_once(folder_uri: str) -> None:
    """Refuses storage on which two writers could overwrite each other's commits.

    Raises:
        StoreNotWritable: If the storage lets a file be created twice.
        OSError: If the folder cannot be written at all.
    """
    if not _refuses_second_creation(folder_uri):
        raise StoreNotWritable(
            f"The storage of {folder_uri} lets a file be created twice, so that two runs at once could overwrite each "
            "other's commits; --single_writer promises that there is only ever one."
        )


def _local_path(uri: str) -> Path | None:
    check_reachable(uri)
    fs, path = file_system(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def _check_local_folder(path: Path) -> None:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    _check_access(existing, _ENTER_AND_WRITE)


def _check_access(path: Path, mode: int) -> None:
    if not os.access(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _refuses_second_creation(folder_uri: str) -> bool:
    """Whether a file that is there already cannot be created again, tried with a file that is removed afterwards.

    On S3 the second write carries `If-None-Match: *`, on GCS `ifGenerationMatch=0`, on a local disk `O_EXCL`. Storage
    that does not know the condition overwrites the file and says that all is well.

    Raises:
        OSError: If the folder cannot be written at all.
    """
    fs, path = file_system(join(folder_uri, f".created-once-{uuid.uuid4()}"))
    _create(fs, path)
    try:
        _create(fs, path)
    except FileExistsError:
        return True
    else:
        return False
    finally:
        fs.rm_file(path)


def _create(fs: fsspec.AbstractFileSystem, path: str) -> None:
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, _PROBE, mode="create")
        return
    # fsspec looks first and then writes, which proves nothing.
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(_PROBE)
