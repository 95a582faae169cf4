"""Row groups of a snapshot: which of them have, or may have, the rows that are wanted; and reading them on threads."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs

from schemas.delta.dataset import ScannedFile, of_fragments, row_groups_of
from schemas.fragments import FeaturePages
from schemas.loaders import rows_by_group
from schemas.spec import Shape
from schemas.tables import feature_array
from schemas.threads import bounded_map

S = TypeVar("S")
T = TypeVar("T")

# Row groups that are begun for each thread before the first of them is handed on.
_BEGUN_PER_THREAD: Final = 2
# Files whose footers are kept while their row groups are read.
_OPEN_FILES: Final = 8


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
    holds = of_fragments(dataset, kept).scanner(columns={"holds": condition}).to_table()["holds"]
    found: np.ndarray = np.concatenate(places)[pc.fill_null(holds, False).to_numpy()]
    return found


def rows_of_groups(
    dataset: ds.FileSystemDataset, files: Sequence[ScannedFile], wanted: np.ndarray, columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Yields some rows, a row group at a time, of which several are read at once.

    Args:
        dataset: All rows.
        files: Its files.
        wanted: int64 [n], the numbers of the rows, ascending.
        columns: The columns that are read.
    """
    within_groups = list[tuple[ds.ParquetFileFragment, np.ndarray]]()
    of_files = _divided(wanted, [file.rows for file in files])
    for of_file, file in zip(of_files, dataset.get_fragments(), strict=True):
        if len(of_file):
            groups = file.split_by_row_group()
            of_groups = zip(groups, _divided(of_file, rows_by_group(groups)), strict=True)
            within_groups += [(group, within) for group, within in of_groups if len(within)]

    def taken(within_group: tuple[ds.ParquetFileFragment, np.ndarray]) -> list[pa.Table]:
        group, within = within_group
        table = of_fragments(dataset, [group]).scanner(columns=columns, use_threads=False).to_table()
        return [table.take(pa.array(within))]

    yield from _on_threads(taken, within_groups, _threads(dataset))


def _divided(numbers: np.ndarray, sizes: Iterable[int]) -> list[np.ndarray]:
    """Divides numbers of rows, ascending, among parts of these sizes; returns those in each part, counted from 0."""
    starts = np.cumsum([0, *sizes])
    places = np.searchsorted(numbers, starts)
    return [numbers[begin:end] - start for start, begin, end in zip(starts, places, places[1:], strict=False)]


def mapped_features(
    dataset: ds.FileSystemDataset,
    condition: pc.Expression | None,
    column: str,
    shape: Shape,
    function: Callable[[np.ndarray], T],
    *,
    rows_per_batch: int,
) -> Iterator[T]:
    """Yields what a function returns for the features of some rows at a time; see `Scan.map_features`.

    Args:
        dataset: All rows.
        condition: Which of them are meant; None for all.
        column: The feature column.
        shape: The shape of one feature.
        function: Takes float32 [n, *shape]; several threads call it at once.
        rows_per_batch: The most rows that Arrow reads at once.
    """
    opened = functools.lru_cache(_OPEN_FILES)(FeaturePages)
    by_pages = condition is None and _is_here(dataset)

    def features(group: ds.ParquetFileFragment) -> Iterator[np.ndarray]:
        vectors = None
        if by_pages:
            vectors = opened(group.path, column).vectors(group.row_groups[0].id, math.prod(shape))
        if vectors is not None:
            yield vectors.reshape(-1, *shape)
            return
        schema = dataset.schema
        for batch in group.to_batches(schema, [column], condition, batch_size=rows_per_batch, use_threads=False):
            if batch.num_rows:
                yield feature_array(batch.column(0), shape)

    def mapped(group: ds.ParquetFileFragment) -> list[T]:
        return [function(batch) for batch in features(group)]

    yield from _on_threads(mapped, row_groups_of(dataset), _threads(dataset))


def _is_here(dataset: ds.FileSystemDataset) -> bool:
    return isinstance(dataset.filesystem, pa_fs.LocalFileSystem)


def _threads(dataset: ds.FileSystemDataset) -> int:
    """As many threads as cores, and some more where files come from elsewhere."""
    return int(pa.cpu_count() if _is_here(dataset) else max(pa.cpu_count(), pa.io_thread_count()))


def _on_threads(function: Callable[[S], Sequence[T]], arguments: Sequence[S], threads: int) -> Iterator[T]:
    """Yields the items that a function returns for each argument, in their order; some are under way at once."""
    with ThreadPoolExecutor(threads, "row groups") as pool:
        for found in bounded_map(pool, function, arguments, _BEGUN_PER_THREAD * threads):
            yield from found
