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
_COUNTS: Final = struct.Struct("5q")


@dataclasses.dataclass
class Progress:
    """Images so far. Safe to be used from several threads.

    Attributes:
        planned: Images to process, as far as planning has got; in training, images times epochs.
        skipped: Images that the store knew already.
        extracted: Images that have features, or were trained on.
        failed: Images that could not be processed.
        passes: Passes over the rows of a linear probe, of which nobody knows beforehand how many it takes.
        stage: What the process that shows progress is doing, such as "epoch 3 of 50"; empty where one word says it.
    """

    planned: int = 0
    skipped: int = 0
    extracted: int = 0
    failed: int = 0
    passes: int = 0
    stage: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file: int | None = None

    def reset(self) -> None:
        """Begins again from nothing, for the next run of the process."""
        with self._lock:
            self.planned = self.skipped = self.extracted = self.failed = self.passes = 0
            self.stage = ""
            if self._file is not None:
                os.close(self._file)
                self._file = None

    @property
    def done(self) -> int:
        """Images that need no more work."""
        return self.extracted + self.failed

    def add(self, *, planned: int = 0, skipped: int = 0, extracted: int = 0, failed: int = 0, passes: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            self.planned += planned
            self.skipped += skipped
            self.extracted += extracted
            self.failed += failed
            self.passes += passes
            with contextlib.suppress(OSError):  # A full disk costs the bar, not the run.
                self._write()

    def _write(self) -> None:
        folder = os.environ.get(_FOLDER)
        if folder is None:
            return
        if self._file is None:
            self._file = os.open(Path(folder, str(os.getpid())), os.O_WRONLY | os.O_CREAT, 0o600)
        counts = (self.planned, self.skipped, self.extracted, self.failed, self.passes)
        os.pwrite(self._file, _COUNTS.pack(*counts), 0)


PROGRESS: Final = Progress()


@dataclasses.dataclass
class ShardProgress:
    """The images of one shard that are counted so far. Safe to be used from several threads.

    Attributes:
        extracted: Of them, those that have features.
        failed: Those that could not be processed.
    """

    extracted: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, *, extracted: int = 0, failed: int = 0) -> None:
        """Counts images."""
        with self._lock:
            self.extracted += extracted
            self.failed += failed
        PROGRESS.add(extracted=extracted, failed=failed)

    def settle(self, *, extracted: int = 0, failed: int = 0) -> None:
        """Makes the counts what they are in the end."""
        self.add(extracted=extracted - self.extracted, failed=failed - self.failed)


@contextlib.contextmanager
def shard_progress() -> Iterator[ShardProgress]:
    """Gives what counts the images of a shard while they pass; of one that fails, and is tried again, none count."""
    counted, is_done = ShardProgress(), False
    try:
        yield counted
        is_done = True
    finally:
        if not is_done:
            counted.settle()


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
    progress = Progress(*(sum(column) for column in zip(*counts, strict=True)))
    progress.stage = PROGRESS.stage
    return progress
