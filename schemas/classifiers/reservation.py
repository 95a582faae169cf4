"""A classifier's folder is written by one training at a time.

On a disk a training locks the folder (`flock(2)`) from its beginning; the end of its process releases the lock, however
it ends. Buckets have no locks: there a claim, a file that only one can create, stands while a classifier is published,
and others wait. It is written again with every file, and counts as left by a process that died when nobody has written
it for ten minutes, by the storage's own clock.
"""

import contextlib
import datetime
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TextIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import ModelNotWritable, RunFailed
from schemas.storage import file_system, join, make_folder, modified_at

LOCK_FILE: Final = ".training"
_CLAIM_FILE: Final = "training.claim"
_ABANDONED_AFTER: Final = datetime.timedelta(minutes=10)
_SECONDS_BETWEEN_LOOKS: Final = 2.0


@contextlib.contextmanager
def locked_folder(uri: str) -> Iterator[None]:
    """Keeps other trainings out of a folder on a disk, which is made where it is not there; in a bucket does nothing.

    Raises:
        ModelNotWritable: If another training has locked it.
        OSError: If it cannot be written.
    """
    fs, path = file_system(uri)
    if not isinstance(fs, LocalFileSystem):
        yield
        return
    folder = Path(path)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with _open_locked(folder / LOCK_FILE) as lock:
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {platform.node()}")
            lock.flush()
            try:
                yield
            finally:
                (folder / LOCK_FILE).unlink(missing_ok=True)
    finally:
        for each in made:
            with contextlib.suppress(OSError):  # Something was written to it, or others use it.
                each.rmdir()


def _open_locked(path: Path) -> TextIO:
    """Opens a lock file and locks it; that of a training that has ended meanwhile is gone, and opened again."""
    import fcntl  # Which Windows lacks, where classifiers can be read.

    while True:
        make_folder(path.parent)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as unless_locked:
            file = unless_locked.enter_context(path.open("a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ModelNotWritable(
                    f"Another training writes to {path.parent} ({file.read() or 'it has just begun'}); wait for its "
                    "end, or name another --output."
                ) from error
            except OSError:  # A file system without locks.
                pass
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                unless_locked.pop_all()
                return file


@contextlib.contextmanager
def claimed_folder(uri: str) -> Iterator[Callable[[], None]]:
    """Waits until nobody else publishes to a folder in a bucket, and claims it; on a disk trainings hold a lock.

    Yields:
        What has to be called before each write: it says that the claim is in use, and raises `RunFailed` where another
        training has taken the folder over.

    Raises:
        OSError: If the storage is at fault.
    """
    fs, path = file_system(join(uri, _CLAIM_FILE))
    if isinstance(fs, LocalFileSystem):
        yield lambda: None
        return
    token = uuid.uuid4().hex.encode()
    while not _created(fs, path, token):
        if _is_abandoned(fs, path):
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(path)
        else:
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def renew() -> None:
        if _read(fs, path) != token:
            raise RunFailed(
                f"Another training has taken over {uri}, for this one has written nothing for minutes; train again, or "
                "name another --output."
            )
        fs.pipe_file(path, token)

    try:
        yield renew
    finally:
        with contextlib.suppress(OSError):
            if _read(fs, path) == token:
                fs.rm_file(path)


def _created(fs: fsspec.AbstractFileSystem, path: str, token: bytes) -> bool:
    try:
        fs.pipe_file(path, token, mode="create")
    except FileExistsError:
        return False
    return True


def _read(fs: fsspec.AbstractFileSystem, path: str) -> bytes | None:
    try:
        content: bytes = fs.cat_file(path)
    except FileNotFoundError:
        return None
    return content


def _is_abandoned(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Whether nobody has written a claim for long, compared with a file that is written now."""
    probe = f"{path}-{uuid.uuid4().hex}"
    fs.pipe_file(probe, b"")
    try:
        fs.invalidate_cache()
        return modified_at(fs.info(probe)) - modified_at(fs.info(path)) > _ABANDONED_AFTER
    except FileNotFoundError:
        return False
    finally:
        fs.rm_file(probe)
