"""How far an extraction is. Read by the launcher's progress bar; nothing depends on it.

Each process counts for itself. One that was started by a launcher which shows progress also writes its counts into a
file of its own, in the folder that the launcher's environment names, so that the bar shows the sum.
"""

import contextlib
import dataclasses
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from transforms.runtime.temporary import temporary_folder

_FOLDER: Final = "CONVBASE_PROGRESS"
_COUNTS: Final = struct.Struct("4q")


@dataclasses.dataclass
class Progress:
    """Images so far. Safe to be used from several threads.

    Attributes:
        planned: Images to process, as far as planning has got.
        skipped: Images that the store knew already.
        extracted: Images that have features.
        failed: Images that could not be processed.
    """

    planned: int = 0
    skipped: int = 0
    extracted: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file: int | None = None

    def reset(self) -> None:
        """Begins again from nothing, for the next run of the process."""
        with self._lock:
            self.planned = self.skipped = self.extracted = self.failed = 0
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def add(self, *, planned: int = 0, skipped: int = 0, extracted: int = 0, failed: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            self.planned += planned
            self.skipped += skipped
            self.extracted += extracted
            self.failed += failed
            with contextlib.suppress(OSError):  # A full disk costs the bar, not the run.
                self._write()

    def _write(self) -> None:
        folder = os.environ.get(_FOLDER)
        if folder is None:
            return
        if self._file is None:
            self._file = os.open(Path(folder, str(os.getpid())), os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(self._file, _COUNTS.pack(self.planned, self.skipped, self.extracted, self.failed), 0)


PROGRESS: Final = Progress()


@contextlib.contextmanager
def progress_of_processes() -> Iterator[Callable[[], Progress]]:
    """Has this process, and those that it starts in the context, share their counts; gives what reads their sum."""
    PROGRESS.reset()
    outer = os.environ.get(_FOLDER)
    with temporary_folder() as folder:
        os.environ[_FOLDER] = str(folder)
        try:
            yield lambda: _sum(folder)
        finally:
            os.environ.pop(_FOLDER, None)
            if outer is not None:
                os.environ[_FOLDER] = outer


def _sum(folder: Path) -> Progress:
    files = [file.read_bytes() for file in folder.iterdir()]
    counts = [_COUNTS.unpack(file) for file in files if len(file) == _COUNTS.size]
    return Progress(*(sum(column) for column in zip(*counts, strict=True)))
