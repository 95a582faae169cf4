"""Temporary folders, and the removal of those that killed processes have left."""

import contextlib
import functools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

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
            _take(lock, wait=True)
            yield folder


def _take(lock: TextIO, *, wait: bool) -> None:
    """Locks a file until it is closed. Windows has no such locks, so nothing is removed there that others have left.

    Raises:
        BlockingIOError: If another process holds it, and its end is not waited for.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@functools.cache
def remove_abandoned_folders() -> None:
    """Removes the temporary folders of this user whose processes are gone, as far as that is possible."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    if sys.platform == "win32":
        return False
    found = folder.stat()
    if found.st_uid != os.getuid() or time.time() - found.st_mtime < _SECONDS_UNTIL_LOCKED:
        return False
    with (folder / _LOCK).open("w") as lock:
        try:
            _take(lock, wait=False)
        except BlockingIOError:
            return False
    return True
