"""Temporary folders, and the removal of those that killed processes have left."""

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "convbase-"
_LOCK: Final = ".lock"
# Between making a folder and locking it, its process holds no lock yet.
_SECONDS_UNTIL_LOCKED: Final = 60.0


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Makes a folder in the machine's folder for temporary files (`TMPDIR`), and removes it in the end.

    The first call of a process removes such folders of the same user whose processes are gone. A process that lives
    holds a lock (`flock(2)`) on a file in its folder, which the end of the process releases however it ends.
    """
    remove_abandoned_folders()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


@functools.cache
def remove_abandoned_folders() -> None:
    """Removes the temporary folders of this user whose processes are gone, as far as that is possible."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid != os.getuid() or time.time() - found.st_mtime < _SECONDS_UNTIL_LOCKED:
        return False
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
