"""Which rows are in which batch: each once over all readers, and the same ones again from any step."""

import itertools

import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.loaders import BatchOrder, Reader, batches_of, packed
from schemas.loaders.order import after_turns

ROWS = np.array([10, 0, 7, 25, 1, 30])
FIRST = np.cumsum([0, *ROWS])


def rows_of(order: BatchOrder, epoch: int, reader: Reader) -> list[int]:
    """The rows of a reader, in the order in which it gives them."""
    found: list[int] = []
    for number, window in enumerate(order.windows(ROWS, 1, epoch, reader)):
        rows = np.concatenate([FIRST[piece.group] + np.arange(piece.first, piece.last) for piece in window])
        found += rows[order.within(len(rows), epoch, reader, number)].tolist()
    return found


def readers(ranks: int, workers: int) -> list[Reader]:
    return [Reader(rank, ranks, worker, workers) for rank in range(ranks) for worker in range(workers)]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 3), (2, 1), (3, 2), (80, 1)])
@pytest.mark.parametrize("window", [1, 20, 1000])
def test_readers_have_each_row_once_between_them(ranks: int, workers: int, window: int) -> None:
    order = BatchOrder(4, shuffle=False, seed=0, window_bytes=window)
    found = [row for reader in readers(ranks, workers) for row in rows_of(order, 0, reader)]
    assert found == list(range(73))


@pytest.mark.parametrize(("ranks", "workers"), [(1, 3), (2, 1), (4, 2)])
def test_shuffled_each_rank_has_as_many_batches_and_no_row_comes_twice(ranks: int, workers: int) -> None:
    order = BatchOrder(4, shuffle=True, seed=0, window_bytes=20)
    left_out = []
    for epoch in range(4):
        found = [row for reader in readers(ranks, workers) for row in rows_of(order, epoch, reader)]
        assert len(found) == len(set(found)) == 73 - 73 % ranks
        left_out.append(set(range(73)) - set(found))
        steps = {
            sum(order.steps(73, one) for one in Reader(rank, ranks, 0, workers).together()) for rank in range(ranks)
        }
        assert len(steps) == 1
    assert ranks == 1 or len(set(map(frozenset, left_out))) > 1


def test_order_follows_seed_and_epoch() -> None:
    first, again, other = (BatchOrder(4, shuffle=True, seed=seed, window_bytes=40) for seed in (1, 1, 2))
    alone = Reader()
    assert rows_of(first, 0, alone) == rows_of(again, 0, alone)
    orders = [rows_of(first, 0, alone), rows_of(first, 1, alone), rows_of(other, 0, alone)]
    assert all(one != another for one, another in itertools.combinations(orders, 2))
    assert sorted(orders[0]) == list(range(73))


def test_a_window_has_the_rows_of_several_row_groups_and_no_more_than_it_may() -> None:
    order = BatchOrder(4, shuffle=True, seed=0, window_bytes=35)
    windows = list(order.windows(ROWS, 1, 0, Reader()))
    assert max(len(window) for window in windows) > 1
    assert max(sum(piece.last - piece.first for piece in window) for window in windows) <= 35
    assert list(packed(np.arange(3), np.array([50, 1, 1]), 35)) == [[0], [1, 2]]


@pytest.mark.parametrize("each", [[3, 3, 3], [5, 1, 3], [0, 4], [2]])
def test_workers_are_asked_in_turn_until_they_have_no_more(each: list[int]) -> None:
    asked = [number for turn in range(max(each)) for number, most in enumerate(each) if turn < most]
    for turns in range(len(asked) + 1):
        taken, order = after_turns(turns, each)
        assert taken == [asked[:turns].count(number) for number in range(len(each))]
        assert sorted(order) == list(range(len(each)))
        left = [each[number] - taken[number] for number in order]
        assert [order[place] for turn in range(max(left)) for place, most in enumerate(left) if turn < most] == (
            asked[turns:]
        )
    assert after_turns(len(asked) + 5, each)[0] == each


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batches_are_full_but_for_the_last(batch_size: int) -> None:
    windows = [((np.arange(start, stop), -np.arange(start, stop)), np.arange(stop - start)[::-1])
               for start, stop in ((0, 10), (10, 11), (11, 100))]  # fmt: skip
    batches = list(batches_of(windows, batch_size))
    assert [len(first) for first, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1][0]) <= batch_size
    expected = np.concatenate([columns[0][order] for columns, order in windows])
    np.testing.assert_array_equal(np.concatenate([first for first, _ in batches]), expected)
    np.testing.assert_array_equal(np.concatenate([second for _, second in batches]), -expected)


def test_no_batch_is_smaller_than_one_row() -> None:
    with pytest.raises(UsageError, match="batch_size=0"):
        BatchOrder(0, shuffle=False, seed=0, window_bytes=1)


@pytest.mark.parametrize(("rank", "ranks"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_none_is_refused_and_not_without_rows(rank: int, ranks: int) -> None:
    with pytest.raises(UsageError) as caught:
        Reader(rank, ranks)
    assert str(caught.value) == f"rank={rank} is none of ranks={ranks}, which are counted from 0."
