"""How far images may be looked for, and how long: what holds for a file system while an image is read.

Whoever reads an image is many calls away from whoever asks a server: there are archives between, Parquet files and
fsspec. So what holds is set here for the thread that reads, and asked for where file systems are made and read.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

import fsspec
from fsspec.asyn import AsyncFileSystem

from schemas.uris import AllowedSources

# Two minutes of a server that is silent, or a hundred megabytes at seven megabits a second.
FETCH_SECONDS: Final = 120
# What is no image may be as large as it likes: a manifest, an archive that is read through.
_ANY_SECONDS: Final = 900


@dataclasses.dataclass(frozen=True)
class Reach:
    """How far images may be looked for, and how long.

    Attributes:
        allowed: Where manifests may point, which servers are held to; None for the server of each URL, wherever it is,
            and the public web.
        seconds: How long one image may take, with everything that is tried again.
    """

    allowed: AllowedSources | None = None
    seconds: float = FETCH_SECONDS


# For what the user, or a table of the user's, has named.
ANYWHERE: Final = Reach()


class ReachNow:
    """What holds at a moment: where servers may be, and until when they may answer."""

    def __init__(self, reach: Reach | None = None) -> None:
        self.allowed = reach.allowed if reach else None
        self.total_seconds = reach.seconds if reach else _ANY_SECONDS
        self.until = time.monotonic() + reach.seconds if reach else None


_NOW: ContextVar[ReachNow | None] = ContextVar("reach", default=None)


@contextlib.contextmanager
def reaching(reach: Reach) -> Iterator[None]:
    """Lets a reach hold for what this thread reads; its time begins now."""
    token = _NOW.set(ReachNow(reach))
    try:
        yield
    finally:
        _NOW.reset(token)


def held(reach: Reach | None) -> contextlib.AbstractContextManager[None]:
    """Lets a reach hold, or if it is None that which holds already."""
    if reach is None and _NOW.get() is not None:
        return contextlib.nullcontext()
    return reaching(reach or ANYWHERE)


def current_reach() -> ReachNow:
    """Returns what holds now."""
    return _NOW.get() or ReachNow()


def seconds_left() -> float | None:
    """Returns the seconds that the image of this thread has left, 0 or more; None where no time is set."""
    until = current_reach().until
    return None if until is None else max(0.0, until - time.monotonic())


def in_time(fs: fsspec.AbstractFileSystem) -> Mapping[str, Any]:
    """Returns the arguments with which a method of a file system ends when the image's time is over.

    Raises:
        TimeoutError: If it is over.
    """
    left = seconds_left()
    if left is None or not isinstance(fs, AsyncFileSystem):
        return {}
    if not left:
        raise TimeoutError("its time was over")
    return {"timeout": left}
