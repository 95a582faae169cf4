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
        """Starts at zero."""
        self._lock = threading.Lock()
        self._measures = Measures()

    def _add(self, measures: Measures) -> None:
        with self._lock:
            self._measures += measures

    def read(self, size: int, reads: int = 1) -> None:
        """Counts `size` bytes of files, and in how many reads they came."""
        self._add(Measures(bytes_read=size, reads=reads))

    def tried_again(self, is_throttled: bool, seconds: float) -> None:
        """Counts a read that failed and is tried again after `seconds`; whether the storage asked for fewer."""
        self._add(Measures(retries=1, throttled=int(is_throttled), waited_milliseconds=1000 * seconds))

    def decoded(self, files: int, seconds: float) -> None:
        """Counts files that were decoded, and the time that they and augmented copies of their pictures took."""
        self._add(Measures(decoded=files, decode_seconds=seconds))

    def inferring(self, batch: "Future[list[np.ndarray]]") -> None:
        """Counts a batch that was just submitted, and the time until it is done."""
        submitted = time.perf_counter()
        self._add(Measures(batches=1))
        # Who waits for the features may have them an instant before this is called, and then misses this batch's time.
        batch.add_done_callback(lambda _: self._add(Measures(infer_seconds=time.perf_counter() - submitted)))

    def loaded(self, seconds: float) -> None:
        """Counts a conv base that this process has loaded in `seconds`."""
        self._add(Measures(loads={f"{socket.gethostname()}/{os.getpid()}": 1}, load_seconds=seconds))

    def measures(self) -> Measures:
        """Returns what was measured so far."""
        with self._lock:
            return self._measures
