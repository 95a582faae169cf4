"""Whether a signal is ending this process: then no shard begins any more."""

import threading
from typing import Final

_INTERRUPTED: Final = threading.Event()


def interrupt() -> None:
    """Lets no shard begin in this process from now on. May be called by a signal's handler."""
    _INTERRUPTED.set()


def is_interrupted() -> bool:
    """Whether `interrupt` was called."""
    return _INTERRUPTED.is_set()
