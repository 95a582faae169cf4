"""Mapping in a pool, so many results ahead of whoever takes them."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def bounded_map(
    pool: concurrent.futures.Executor, function: Callable[[A], B], items: Iterable[A], ahead: int
) -> Iterator[B]:
    """Maps in a pool, in order, with at most `ahead` results computed or waiting (Python 3.14: `map(buffersize=)`)."""
    waiting: collections.deque[concurrent.futures.Future[B]] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
