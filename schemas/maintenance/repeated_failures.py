"""Repeated failures: several rows of one version of an image, as the program left them once; only the newest counts.

A commit of failures takes the older rows out (`schemas/commits`), so there are none in stores of today.
"""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.commits import Holding, removal_actions
from schemas.delta import TableAction, commit_with_token, paths_of
from schemas.fragments import COMPACTED, Keep, TableName, keys_of
from schemas.storage import join, read_columns

_COLUMNS: Final = ("uri", "version", "failed_at")
_ROW: Final = "row"
_KEY: Final = "key"


def drop_repeated_failures(store_uri: str) -> int:
    """Takes older rows of versions of images out of `failures` in one commit, and returns how many there were.

    Holds the keys of all failures in memory, some 200 bytes each.

    Raises:
        RunFailed: If others commit faster than this can.
    """
    table_uri = join(store_uri, TableName.FAILURES)
    dropped: list[int] = [0]

    def actions_on(table: DeltaTable) -> list[TableAction] | None:
        held = list(_with_older_rows(table_uri, table))
        dropped[0] = sum(file.rows for file in held)
        return list(removal_actions(table_uri, TableName.FAILURES, held, COMPACTED)) or None

    commit_with_token(table_uri, "compact", actions_on)
    return dropped[0]


def _with_older_rows(table_uri: str, table: DeltaTable) -> Iterator[Holding]:
    rows_by_path = {path: list(read_columns(join(table_uri, path), _COLUMNS)) for path in sorted(paths_of(table))}
    keep = _without_rows(_older_rows([rows for batches in rows_by_path.values() for rows in batches]))
    for path, batches in rows_by_path.items():
        gone = sum(rows.num_rows - keep(rows).true_count for rows in batches)
        if gone:
            yield Holding(path, gone, gone == sum(rows.num_rows for rows in batches), keep)


def _without_rows(names: pa.Array) -> Keep:
    return lambda rows: pc.invert(pc.is_in(_names(rows), value_set=names))


def _older_rows(batches: list[pa.RecordBatch]) -> pa.Array:
    """Returns the names of rows whose image failed again later in the same version."""
    if not batches:
        return pa.array([], pa.string())
    rows = pa.concat_tables(
        pa.table({_KEY: keys_of(rows), "failed_at": rows.column("failed_at"), _ROW: _names(rows)}) for rows in batches
    )
    newest = rows.group_by(_KEY).aggregate([("failed_at", "max")])
    joined = rows.join(newest, _KEY)
    return joined.filter(pc.less(joined["failed_at"], joined["failed_at_max"]))[_ROW].combine_chunks()


def _names(rows: pa.RecordBatch) -> pa.Array:
    """Returns key and time of rows as one string each."""
    return pc.binary_join_element_wise(keys_of(rows), rows.column("failed_at").cast(pa.int64()).cast(pa.string()), "\0")
