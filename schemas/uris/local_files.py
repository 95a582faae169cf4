"""Files of this machine that are opened as images: regular ones, which end and keep nobody waiting."""

import functools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# The file systems of the kernel: what looks like files there are answers about processes and devices.
_KERNELS: Final = ("/proc", "/sys")


_FURTHER_BYTES: Final = 2**16
_NONE: Final = "it is a pipe, a socket, a device, or an answer of the kernel"


def check_regular(path: str) -> None:
    """Looks whether there is a regular file at a path, links followed; a folder is none, and no harm.

    Raises:
        FileNotFoundError: If there is something else, or nothing.
        OSError: If nothing can be said of it.
        ValueError: If it can be no path.
    """
    _check(os.stat(path), path)  # noqa: PTH116 (as text: it may be any)


@contextmanager
def opened_file(path: str) -> Iterator[int]:
    """Opens a file, without waiting for whoever would be at the other end of a pipe.

    Yields:
        Its descriptor.

    Raises:
        FileNotFoundError: If it is no regular file.
        OSError: If it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _check(os.fstat(descriptor), path)
        yield descriptor
    finally:
        os.close(descriptor)


def read_file(path: str, start: int, end: int) -> bytes:
    """Reads a range of a file; fewer bytes where it ends before.

    Raises:
        FileNotFoundError: If it is no regular file.
        OSError: If it cannot be read.
    """
    with opened_file(path) as descriptor:
        return read_range(descriptor, start, end)


def read_range(descriptor: int, start: int, end: int) -> bytes:
    """Reads a range of an open file; fewer bytes where it ends before, however many it says that it has."""
    pieces = []
    size = os.fstat(descriptor).st_size
    while start < end:
        # As many as it says that it has, then a few more: memory is taken for whatever is asked for.
        asked = min(size - start if start < size else _FURTHER_BYTES, end - start)
        piece = os.pread(descriptor, asked, start)
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _check(status: os.stat_result, path: str) -> None:
    is_file = stat.S_ISREG(status.st_mode)
    # A file of the kernel that is named itself was allowed; a link to it was not.
    is_the_kernels = is_file and status.st_dev in _kernels_devices() and not path.startswith(_KERNELS)
    if is_the_kernels or not (is_file or stat.S_ISDIR(status.st_mode)):
        raise FileNotFoundError(_NONE)


@functools.cache
def _kernels_devices() -> frozenset[int]:
    return frozenset(os.stat(folder).st_dev for folder in _KERNELS if os.path.isdir(folder))  # noqa: PTH112, PTH116
