"""Comparing images with those that are in cells near them, where there are too many to compare all with each other."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from schemas.neighbours import Neighbours, nearest_rows
from schemas.search import Cells, cells_for, sample_for, use_threads
from transforms.exploration.comparison import ComparedRows, Recall, RowGroups
from transforms.runtime import available_cores

_ROWS_AT_ONCE: Final = 16_384
_ADDED: Final = 0.2  # The share of the work that is done once the cells are filled.


def compare_near(
    vectors: np.ndarray,
    k: int,
    distance: float,
    contents: np.ndarray,
    on_done: Callable[[float], None] = lambda _: None,
) -> ComparedRows:
    """Finds what `compare_all` does, by looking into as many cells near each row as near-duplicates are found in.

    Neighbours that are further away may be in other cells; how many are found is measured. Groups are connected by
    neighbours that are close enough: what is close to a row and not among its `k` nearest is reached through these.
    """
    use_threads(available_cores())
    count = len(vectors)
    step = max(count // sample_for(count), 1)
    cells = Cells.train(vectors[::step], cells_for(count))
    cells.fill(vectors, lambda share: on_done(_ADDED * share))
    recall = Recall(cells.tune_for_copies(distance), cells.recall())
    rows, distances = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
    groups, done = RowGroups(contents), 0
    for numbers in _in_turn(cells):
        found = cells.search(vectors[numbers], k + 1)
        few = np.flatnonzero(found.rows[:, -1] < 0)
        if len(few):
            exact = nearest_rows(vectors[numbers[few]], _blocks(vectors), k + 1)
            found.rows[few], found.distances[few] = exact.rows, exact.distances
        # Each row finds itself, unless others are the same; it is put behind them all, and left out.
        order = np.argsort(found.rows == numbers[:, None], axis=1, kind="stable")[:, :k]
        rows[numbers] = np.take_along_axis(found.rows, order, 1)
        distances[numbers] = np.take_along_axis(found.distances, order, 1)
        row, place = np.nonzero(distances[numbers] <= distance)
        groups.join(numbers[row], rows[numbers[row], place])
        done += len(numbers)
        on_done(_ADDED + (1 - _ADDED) * done / count)
    return ComparedRows(Neighbours(rows, distances), groups.first, recall)


def _in_turn(cells: Cells) -> Iterator[np.ndarray]:
    """Yields all rows, those of a cell together: what they look into is then in the processor's cache."""
    waiting, count = list[np.ndarray](), 0
    for numbers in cells.by_cell():
        waiting.append(numbers)
        count += len(numbers)
        if count >= _ROWS_AT_ONCE:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if count:
        yield np.concatenate(waiting)


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    return (vectors[start : start + _ROWS_AT_ONCE] for start in range(0, len(vectors), _ROWS_AT_ONCE))
