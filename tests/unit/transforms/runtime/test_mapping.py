"""The window of reads: it opens while it is waited for, is halved where storage asks for fewer, and has limits."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from transforms.runtime.mapping import FIRST_READS, MOST_BYTES, MOST_READS, ReadWindow, windowed_map


class Clock:
    """Tells the seconds that a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_by_one_for_each_window_that_was_waited_for() -> None:
    window = ReadWindow()
    for _ in range(FIRST_READS):
        window.succeeded(was_awaited=True)
    assert window.reads == FIRST_READS
    window.succeeded(was_awaited=True)
    assert window.reads == FIRST_READS + 1
    for _ in range(MOST_READS**2):
        window.succeeded(was_awaited=True)
    assert window.reads == MOST_READS


def test_it_stays_as_it_is_while_nobody_waits() -> None:
    window = ReadWindow()
    for _ in range(1000):
        window.succeeded(was_awaited=False)
    assert window.reads == FIRST_READS


def test_it_is_halved_once_for_all_that_are_refused_together_and_opens_again() -> None:
    window = ReadWindow(clock := Clock())
    for _ in range(10):
        window.throttled()
    assert window.reads == FIRST_READS // 2
    clock.now += 1
    window.throttled()
    assert window.reads == FIRST_READS // 4
    for _ in range(20):
        clock.now += 1
        window.throttled()
    assert window.reads == 1
    for _ in range(FIRST_READS**2):
        window.succeeded(was_awaited=False)
    assert window.reads == FIRST_READS


@pytest.mark.parametrize(
    ("reads", "size", "has_room"),
    [
        (0, 10 * MOST_BYTES, True),
        (1, MOST_BYTES + 1, False),
        (FIRST_READS - 1, MOST_BYTES, True),
        (FIRST_READS, 1, False),
    ],
)
def test_there_is_room_for_one_file_of_any_size_and_for_so_many_bytes(reads: int, size: int, has_room: bool) -> None:
    assert ReadWindow().has_room(reads, size) is has_room


class Storage:
    """Counts how many reads there are at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def read(self, item: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002 * (item % 3))
        with self.lock:
            self.now -= 1
        return item


@pytest.mark.parametrize(
    ("size", "most"), [(None, FIRST_READS), (MOST_BYTES // 4, 4), (2 * MOST_BYTES, 1), (1000, MOST_READS)]
)
def test_a_map_keeps_the_order_and_holds_what_there_is_room_for(size: int | None, most: int) -> None:
    storage = Storage()
    with ThreadPoolExecutor(MOST_READS) as pool:
        items = ((item, size) for item in range(400))
        assert list(windowed_map(pool, storage.read, items, ReadWindow())) == list(range(400))
    assert 1 <= storage.most <= most


def test_more_is_read_at_once_from_storage_that_is_far_away() -> None:
    storage, window = Storage(), ReadWindow()
    with ThreadPoolExecutor(MOST_READS) as pool:
        list(windowed_map(pool, storage.read, ((3 * item + 2, 1000) for item in range(600)), window))
    assert FIRST_READS < storage.most <= window.reads


def test_a_map_that_is_given_up_reads_no_more() -> None:
    storage = Storage()
    with ThreadPoolExecutor(1) as pool:
        reading = windowed_map(pool, storage.read, ((item, 1) for item in range(10**9)), ReadWindow())
        assert next(reading) == 0
        reading.close()
