"""Signals that end this process: no shard and no commit begins any more then, and processes it starts hear nothing."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from schemas.errors import RunFailed

_signals: list[int] = []
_committing = threading.RLock()  # What is done at a commit may commit itself.


def interrupt(number: int) -> None:
    """Lets no shard and no commit begin in this process from now on; to be called by the handler of the signal."""
    _signals.append(number)


def forget_interruptions() -> None:
    """Lets shards and commits begin again, in a process that goes on after a signal has ended what it did."""
    _signals.clear()


def interrupted_by() -> int | None:
    """Returns the signal that ends this process, if one does."""
    return _signals[0] if _signals else None


@contextlib.contextmanager
def committing() -> Iterator[None]:
    """Lets a commit be written, one at a time.

    Raises:
        RunFailed: If a signal has ended this process: what is visible then may be read and said already.
    """
    with _committing:
        if _signals:
            raise RunFailed("A signal came before the commit.")
        yield


def commits_have_ended(seconds: float) -> bool:
    """Waits for the commit that may be under way; whether it has ended in so many seconds."""
    ended = _committing.acquire(timeout=seconds)
    if ended:
        _committing.release()
    return ended


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Lets processes that start meanwhile never see SIGINT: Ctrl-C comes to all of a terminal, and this one answers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
