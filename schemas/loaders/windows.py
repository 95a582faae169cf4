"""Windows: row groups that are read and shuffled together, so that a table of any size takes the memory of a few."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow.dataset as ds


def rows_by_group(groups: Iterable[ds.ParquetFileFragment]) -> list[int]:
    """Returns the rows of each row group, of which only the footers of files are read.

    Not by `count_rows`, which counts the whole file of a row group (PyArrow 25).
    """
    return [sum(info.num_rows for info in group.row_groups) for group in groups]


def packed(groups: np.ndarray, sizes: np.ndarray, most: int) -> Iterator[list[int]]:
    """Puts row groups together, in their order, as long as they have at most so many bytes; a larger one is alone.

    Args:
        groups: int64 [n], numbers of row groups.
        sizes: int64, the bytes of each row group by its number.
        most: The most bytes of a window.
    """
    window: list[int] = []
    held = 0
    for group in groups:
        if window and held + sizes[group] > most:
            yield window
            window, held = [], 0
        window.append(int(group))
        held += int(sizes[group])
    if window:
        yield window


def batches_of(
    windows: Iterable[tuple[Sequence[np.ndarray], np.ndarray]], batch_size: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Cuts windows into batches of `batch_size` rows, of which only the last of all may be smaller.

    Args:
        windows: The columns of each window, and int64, the places of its rows in the order in which they are wanted.
        batch_size: Rows a batch.

    Yields:
        The columns of a batch, copied.
    """
    rest: tuple[np.ndarray, ...] = ()
    for columns, order in windows:
        first = 0
        if rest:
            first = min(batch_size - len(rest[0]), len(order))
            joined = zip(rest, columns, strict=True)
            rest = tuple(np.concatenate([before, column[order[:first]]]) for before, column in joined)
            if len(rest[0]) == batch_size:
                yield rest
                rest = ()
        for start in range(first, len(order), batch_size):
            taken = tuple(column[order[start : start + batch_size]] for column in columns)
            if len(taken[0]) == batch_size:
                yield taken
            else:
                rest = taken
    if rest:
        yield rest
