"""A meter: what the threads that work on a shard add up, before Beam hears of it once a shard."""

import os
import socket
import threading
import time
from concurrent.futures import Future

import numpy as np

from schemas.measures import Measures


class Meter:
    """Adds up measures. Safe to be used from several threads."""

    def __init__(self) -> None:
        """Begins at nought."""
        self._lock = threading.Lock()
        self._bytes_read = 0
        self._decoded = 0
        self._decode_seconds = 0.0
        self._batches = 0
        self._infer_seconds = 0.0
        self._loads: dict[str, int] = {}
        self._load_seconds = 0.0

    def read(self, size: int) -> None:
        """Counts `size` bytes of files."""
        with self._lock:
            self._bytes_read += size

    def decoded(self, files: int, seconds: float) -> None:
        """Counts files that were decoded, and the time that they and augmented copies of their pictures took."""
        with self._lock:
            self._decoded += files
            self._decode_seconds += seconds

    def inferring(self, batch: "Future[list[np.ndarray]]") -> None:
        """Counts a batch that was just submitted, and the time until it is done."""
        submitted = time.perf_counter()
        with self._lock:
            self._batches += 1
        # Who waits for the features may have them an instant before this is called, and then misses this batch's time.
        batch.add_done_callback(lambda _: self._inferred(time.perf_counter() - submitted))

    def _inferred(self, seconds: float) -> None:
        with self._lock:
            self._infer_seconds += seconds

    def loaded(self, seconds: float) -> None:
        """Counts a conv base that this process has loaded in `seconds`."""
        self._loads = {f"{socket.gethostname()}/{os.getpid()}": 1}
        self._load_seconds = seconds

    def measures(self) -> Measures:
        """Returns what was measured so far."""
        with self._lock:
            return Measures(
                self._bytes_read,
                self._decoded,
                self._decode_seconds,
                self._batches,
                self._infer_seconds,
                self._loads,
                self._load_seconds,
            )
