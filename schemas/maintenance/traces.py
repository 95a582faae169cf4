"""Traces: rows of images that were taken down, in any file that still lies below a store's tables.

A takedown removes rows from the newest version; older versions keep their files until a vacuum. So the proof reads the
folders themselves, committed files and others, and not what the log names.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Collection, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import data_files, find_table, paths_of
from schemas.errors import DamagedFile
from schemas.fragments import TableName
from schemas.maintenance.takedowns import TAKEN_FROM
from schemas.storage import join, read_columns

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

    Files without a byte hold no row, and are passed over; so are those that a vacuum removes meanwhile.

    Args:
        store_uri: The store.
        uris: string [n], in canonical form.
    """
    with concurrent.futures.ThreadPoolExecutor(_READERS, "traces") as pool:
        for name in TAKEN_FROM:
            table_uri = join(store_uri, name)
            table = find_table(table_uri)
            current = paths_of(table) if table is not None else set()
            paths = [path for path, info in data_files(table_uri) if info["size"]]
            found = pool.map(functools.partial(_trace, store_uri, name, current, uris), paths)
            yield from (trace for trace in found if trace.rows or trace.how)


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
