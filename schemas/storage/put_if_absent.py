"""Proof that a storage lets only one of two writers create a file: every atomic commit stands on that."""

import os
import uuid
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import StoreNotWritable
from schemas.storage.filesystems import file_system, join

_PROBE: Final = b"convbase asks whether this file can be created twice.\n"


def check_created_once(folder_uri: str) -> None:
    """Refuses storage on which two writers could overwrite each other's commits.

    Raises:
        StoreNotWritable: If the storage lets a file be created twice.
        OSError: If the folder cannot be written at all.
    """
    if not refuses_second_creation(folder_uri):
        raise StoreNotWritable(
            f"The storage of {folder_uri} lets a file be created twice, so that two runs at once could overwrite each "
            "other's commits; --single_writer promises that there is only ever one."
        )


def refuses_second_creation(folder_uri: str) -> bool:
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
