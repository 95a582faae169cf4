"""What was used last: a few things that are dear to make, for threads that ask for the same ones."""

import collections
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LastUsed(Generic[K, V]):
    """The values that were asked for last. Safe to be used from several threads: others wait while one is made."""

    def __init__(self, most: int, forget: Callable[[V], None] = lambda _: None) -> None:
        """Begins without values.

        Args:
            most: How many are kept.
            forget: Is called with one that is kept no more; whoever has it may still use it.
        """
        self._most = most
        self._forget = forget
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[K, V] = collections.OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Returns the value of a key, which is made where it is not there; what that raises is raised."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            self._kept.move_to_end(key)
            value = self._kept[key]
            oldest = [self._kept.popitem(last=False)[1]] if len(self._kept) > self._most else []
        for one in oldest:
            self._forget(one)
        return value
