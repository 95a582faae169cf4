"""How far an extraction in this process is. Read by the launcher's progress bar; nothing depends on it."""

import dataclasses
import threading
from typing import Final


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

    def reset(self) -> None:
        """Begins again from nothing, for the next run of the process."""
        with self._lock:
            self.planned = self.skipped = self.extracted = self.failed = 0

    def add(self, *, planned: int = 0, skipped: int = 0, extracted: int = 0, failed: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            self.planned += planned
            self.skipped += skipped
            self.extracted += extracted
            self.failed += failed


PROGRESS: Final = Progress()
