"""Row groups of a snapshot: which of them may have rows for which a condition holds, and reading them on threads."""

import collections
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds

from schemas.loaders import rows_by_group

S = TypeVar("S")
T = TypeVar("T")

# Row groups that are begun for each thread before the first of them is handed on.
_BEGUN_PER_THREAD: Final = 2


def matching_rows(dataset: ds.FileSystemDataset, condition: pc.Expression) -> np.ndarray:
    """Returns int64 [n], the rows of a dataset for which a condition holds, by their numbers, ascending.

    Reads the columns that the condition is about, of row groups whose statistics do not exclude it.
    """
    kept, places, first = list[ds.ParquetFileFragment](), [np.empty(0, np.int64)], 0
    for file in dataset.get_fragments():
        starts = first + np.cumsum([0, *rows_by_group(file.split_by_row_group())])
        of_file = file.split_by_row_group(condition, dataset.schema)
        kept += of_file
        places += [np.arange(*starts[group.row_groups[0].id :][:2]) for group in of_file]
        first = int(starts[-1])
    among = ds.FileSystemDataset(kept, dataset.schema, dataset.format, dataset.filesystem)
    holds = among.scanner(columns={"holds": condition}).to_table()["holds"]
    found: np.ndarray = np.concatenate(places)[pc.fill_null(holds, False).to_numpy()]
    return found


def mapped(
    read: Callable[[ds.ParquetFileFragment], Iterator[S]],
    groups: Sequence[ds.ParquetFileFragment],
    function: Callable[[S], T],
    threads: int,
) -> Iterator[T]:
    """Yields what a function returns for what is read of row groups, in their order; it is called where they are read.

    Args:
        read: Yields the rows of a row group in batches, in the thread that asks for them.
        groups: The row groups.
        function: Is called by several threads at once.
        threads: How many.
    """

    def of_group(group: ds.ParquetFileFragment) -> list[T]:
        return [function(batch) for batch in read(group)]

    left, begun = iter(groups), collections.deque[Future[list[T]]]()
    pool = ThreadPoolExecutor(threads, "row groups")
    try:
        begun.extend(pool.submit(of_group, group) for group in itertools.islice(left, _BEGUN_PER_THREAD * threads))
        while begun:
            done = begun.popleft().result()
            begun.extend(pool.submit(of_group, group) for group in itertools.islice(left, 1))
            yield from done
    finally:
        pool.shutdown(cancel_futures=True)
