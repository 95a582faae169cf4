"""Traces: rows of images that were taken down, in any file that still lies below a store's tables.

A takedown removes rows from the newest version; older versions keep their files until a vacuum. So the proof reads the
folders themselves, committed files and others, and not what the log names. An index knows images by files of the table:
it has the features of those whose rows are in its files.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import data_files, find_table, paths_of
from schemas.errors import DamagedFile, with_count
from schemas.fragments import TableName
from schemas.maintenance.takedowns import TAKEN_FROM
from schemas.search import CELLS, INDEXES, stored_indexes
from schemas.storage import files_below, join, read_columns

_READERS: Final = 16


@dataclasses.dataclass(frozen=True)
class Trace:
    """A file that holds rows of images, or of which that cannot be told.

    Attributes:
        file_uri: The file.
        rows: Rows of these images in it.
        is_current: Whether the newest version of its table has it.
        how: Why it cannot be read; None if it can.
    """

    file_uri: str
    rows: int
    is_current: bool
    how: str | None = None


def find_traces(store_uri: str, uris: pa.Array) -> Iterator[Trace]:
    """Reads every file below `features` and `failures`, and yields those with rows of images, and unreadable ones.

    Files without a byte hold no row, and are passed over; so are those that a vacuum removes meanwhile. Indexes that
    have features of these rows, or of files that are gone, follow.

    Args:
        store_uri: The store.
        uris: string [n], in canonical form.
    """
    rows_by_path: dict[str, int] = {}
    with concurrent.futures.ThreadPoolExecutor(_READERS, "traces") as pool:
        for name in TAKEN_FROM:
            table_uri = join(store_uri, name)
            table = find_table(table_uri)
            current = paths_of(table) if table is not None else set()
            paths = [path for path, info in data_files(table_uri) if info["size"]]
            found = list(pool.map(functools.partial(_trace, store_uri, name, current, uris), paths))
            yield from (trace for trace in found if trace.rows or trace.how)
            if name == TableName.FEATURES:
                rows_by_path = {path: trace.rows for path, trace in zip(paths, found, strict=True)}
    yield from _traces_in_indexes(store_uri, rows_by_path)


def _traces_in_indexes(store_uri: str, rows_by_path: Mapping[str, int]) -> Iterator[Trace]:
    """Yields the files of indexes that have features of images, or of which that cannot be told.

    Args:
        store_uri: The store.
        rows_by_path: The rows of these images in each file below `features`.
    """
    cells = {path for path, _ in files_below(join(store_uri, INDEXES)) if path.endswith(CELLS)}
    for _, stored in stored_indexes(store_uri):
        cells.discard(stored.cells.path)
        rows = sum(rows_by_path.get(file.path, 0) for file in stored.files)
        gone = sum(file.path not in rows_by_path for file in stored.files)
        of_gone = f"it has features of {with_count(gone, 'file that is', 'files that are')} gone"
        how = of_gone if gone and not rows else None
        if rows or how:
            yield Trace(join(store_uri, INDEXES, stored.cells.path), rows, is_current=False, how=how)
    for path in sorted(cells):
        yield Trace(join(store_uri, INDEXES, path), 0, is_current=False, how="it is of no index that can be read")


def _trace(store_uri: str, name: TableName, current: Collection[str], uris: pa.Array, path: str) -> Trace:
    file_uri = join(store_uri, name, path)
    try:
        rows = sum(
            pc.sum(pc.is_in(batch.column("uri"), value_set=uris)).as_py() or 0
            for batch in read_columns(file_uri, ("uri",))
        )
    except FileNotFoundError:
        rows = 0
    except DamagedFile as error:
        return Trace(file_uri, 0, path in current, error.how)
    return Trace(file_uri, rows, path in current)
