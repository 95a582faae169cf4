"""Pixel memory: batches of pictures, in memory that other processes can map.

An anonymous file in memory (`memfd_create`) that vanishes with the last process that holds it: however a process ends,
nothing is left behind.
"""

import collections
import math
import mmap
import os
import threading
import weakref
from typing import Final

import numpy as np

from schemas.errors import RunFailed, first_line

_NAME: Final = "convbase pictures"
_NO_FILE: Final = -1


class PixelMemory:
    """Memory in which pictures are decoded. Safe to be used from several threads.

    It is as large as what was ever taken at once: arrays that are no longer referenced are reused.

    Attributes:
        fd: The file in memory, which another process maps by a `PixelMemory` of its own; -1 where there is none.
        size: The bytes of all arrays that there are.
    """

    def __init__(self, fd: int = _NO_FILE) -> None:
        """Takes a file in memory.

        Args:
            fd: The file; -1 for memory that only this process sees.
        """
        self.fd = fd
        self._lock = threading.Lock()
        self.size = 0
        self._mapped: dict[int, mmap.mmap] = {}
        self._free: dict[int, collections.deque[int]] = collections.defaultdict(collections.deque)

    @classmethod
    def create(cls) -> "PixelMemory":
        """Returns memory that other processes can map.

        Raises:
            OSError: If this machine has no files in memory.
        """
        if not hasattr(os, "memfd_create"):
            raise OSError("This machine has no memory that processes can share without a name (memfd).")
        return cls(os.memfd_create(_NAME, os.MFD_CLOEXEC))

    def take(self, shape: tuple[int, ...]) -> tuple[int, np.ndarray]:
        """Returns an array for pictures, which is free again as soon as neither it nor a view of it is held.

        Only one process takes arrays; the others look at them.

        Args:
            shape: Of uint8.

        Returns:
            Where it lies, for `view`, and the array; its values are of no meaning.

        Raises:
            RunFailed: If a limit of this machine (`ulimit -f`) forbids a file in memory of that size.
        """
        length = _pages(shape)
        try:
            offset = self._free[length].pop()
        except IndexError:
            offset = self._grow(length)
        whole = self._whole(offset, length)
        # By the array's own life: engines and callers may hold views of it for as long as they like.
        weakref.finalize(whole, self._free[length].append, offset).atexit = False
        return offset, _shaped(whole, shape)

    def view(self, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array that was taken, without holding it."""
        return _shaped(self._whole(offset, _pages(shape)), shape)

    def _grow(self, length: int) -> int:
        with self._lock:
            offset, size = self.size, self.size + length
            if self.fd != _NO_FILE:
                try:
                    os.ftruncate(self.fd, size)
                except OSError as error:
                    raise RunFailed(
                        f"The memory that decoder processes share cannot grow to {size:,} bytes ({first_line(error)}); "
                        "--decode_processes=0 decodes in threads, which need none."
                    ) from error
            self.size = size
        return offset

    def _whole(self, offset: int, length: int) -> np.ndarray:
        with self._lock:
            if offset not in self._mapped:
                within = 0 if self.fd == _NO_FILE else offset
                self._mapped[offset] = mmap.mmap(self.fd, length, offset=within)
        return np.frombuffer(self._mapped[offset], np.uint8)

    def __del__(self) -> None:
        if self.fd != _NO_FILE:
            os.close(self.fd)


def _pages(shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


def _shaped(whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return whole[: math.prod(shape)].reshape(shape)
