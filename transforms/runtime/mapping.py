"""Mapping in pools, ahead of whoever takes the results: as many reads as their window has room for.

The window is how many reads a process has in flight, and what they may take of its memory. It opens by one for each
window of reads that were waited for, and is halved where the storage asks for fewer: additive increase, multiplicative
decrease (Chiu and Jain, 1989), as TCP finds out what a network carries.
"""

import collections
import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

A = TypeVar("A")
B = TypeVar("B")

# A file of 100 KB from a bucket takes some 50 ms: 16 at a time are 300 a second, 64 are 1,200.
FIRST_READS: Final = 16
MOST_READS: Final = 64
MOST_BYTES: Final = 64 * 2**20
# A file whose size is not known counts so that there are no more of them than at first.
_UNKNOWN_SIZE: Final = MOST_BYTES // FIRST_READS
# Reads that are in flight when it is narrowed are refused too, which says nothing of the narrower window.
_SECONDS_PER_NARROWING: Final = 1.0


class ReadWindow:
    """How many reads may be in flight. Safe to be used from several threads.

    Attributes:
        reads: How many, at least 1.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins with `FIRST_READS`.

        Args:
            clock: Tells seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._width = float(FIRST_READS)
        self._narrowed_at = -_SECONDS_PER_NARROWING

    @property
    def reads(self) -> int:
        """How many reads may be in flight now."""
        return int(self._width)

    def has_room(self, reads: int, size: int) -> bool:
        """Whether a further read may begin.

        Args:
            reads: How many are in flight, or wait for whoever decodes.
            size: The bytes of these and of the further one.
        """
        return not reads or (reads < self.reads and size <= MOST_BYTES)

    def succeeded(self, *, was_awaited: bool) -> None:
        """Takes notice of a read: the window opens if it was waited for, or is narrower than at first."""
        with self._lock:
            if was_awaited or self._width < FIRST_READS:
                self._width = min(self._width + 1 / self._width, MOST_READS)

    def throttled(self) -> None:
        """Takes notice that the storage asks for fewer reads."""
        with self._lock:
            now = self._clock()
            if now - self._narrowed_at >= _SECONDS_PER_NARROWING:
                self._width, self._narrowed_at = max(self._width / 2, 1.0), now


def windowed_map(
    pool: concurrent.futures.Executor,
    read: Callable[[A], B],
    items: Iterable[tuple[A, int | None]],
    window: ReadWindow,
) -> Iterator[B]:
    """Reads in a pool, in order, with as many reads in flight or waiting as a window has room for.

    Args:
        pool: Has `MOST_READS` threads.
        read: Reads an item.
        items: What is read, each with its bytes, or None where they are not known.
        window: How many reads there may be; other maps may share it, each with its own reads.
    """
    waiting: collections.deque[tuple[concurrent.futures.Future[B], int]] = collections.deque()

    def next_result() -> B:
        future, _ = waiting.popleft()
        is_awaited = not future.done()
        result = future.result()
        window.succeeded(was_awaited=is_awaited)
        return result

    try:
        for item, known in items:
            size = _UNKNOWN_SIZE if known is None else known
            while not window.has_room(len(waiting), sum(each for _, each in waiting) + size):
                yield next_result()
            waiting.append((pool.submit(read, item), size))
        while waiting:
            yield next_result()
    finally:
        for future, _ in waiting:
            future.cancel()
