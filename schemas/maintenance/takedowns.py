"""Takedowns: images whose rows leave the store and never come back, under whatever version.

The `takedowns` table is made at the first one. A takedown is recorded there first, and only then leaves the other
tables, in a commit that carries the conflict token (`schemas/delta/conflict_token.py`) even if it removes nothing: a
run that looked into `takedowns` before it was recorded then has to look again before it commits.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.commits import append_rows, files_holding, removal_actions
from schemas.delta import (
    UPKEEP,
    Scan,
    TableAction,
    commit_once,
    commit_properties,
    commit_with_token,
    create_table,
    find_table,
    open_table,
)
from schemas.fragments import TAKEDOWN, TableName
from schemas.storage import join
from schemas.tables import TAKEDOWNS, TIMESTAMP

TAKEN_FROM: Final = (TableName.FEATURES, TableName.FAILURES)


@dataclasses.dataclass(frozen=True)
class Takedown:
    """What a takedown did, or would do.

    Attributes:
        uris: Images asked for.
        recorded: Of these, images that had not been taken down before.
        absent: Of these, images of which neither table had a row.
        rows: Rows that left, by table.
    """

    uris: int
    recorded: int
    absent: int
    rows: dict[TableName, int]


def open_takedowns(store_uri: str) -> DeltaTable | None:
    """Opens the `takedowns` table, or returns None if nothing was ever taken down."""
    return find_table(join(store_uri, TableName.TAKEDOWNS))


def taken_down(store_uri: str, uris: pa.Array) -> pa.Array:
    """Says which images were taken down, as of now; holds one batch of the table in memory.

    Args:
        store_uri: The store.
        uris: string [n], in canonical form.

    Returns:
        bool [n].
    """
    table = open_takedowns(store_uri)
    mask = pa.array(np.zeros(len(uris), bool))
    if table is None:
        return mask
    for batch in Scan(table, ["uri"]).to_batches():
        mask = pc.or_(mask, pc.is_in(uris, value_set=batch.column("uri")))
    return mask


def plan_takedown(store_uri: str, uris: pa.Array) -> Takedown:
    """Returns what `take_down` would do; reads the files that may hold the images, and changes nothing."""
    gone = {}
    for name in TAKEN_FROM:
        table_uri = join(store_uri, name)
        gone[name] = _together(held.gone for held in files_holding(table_uri, open_table(table_uri), uris))
    return _outcome(uris, taken_down(store_uri, uris), gone)


def take_down(store_uri: str, uris: pa.Array, reason: str | None) -> Takedown:
    """Takes images down: records them, then removes their rows in one commit a table. Doing it again changes nothing.

    The bytes are in the files of older versions until these are vacuumed.

    Args:
        store_uri: The store.
        uris: string [n], in canonical form, each once. Images that the store has never seen are taken down all the
            same: they may come later.
        reason: Why, for the record.

    Raises:
        RunFailed: If others commit faster than this can.
    """
    before = taken_down(store_uri, uris)
    _record(store_uri, uris.filter(pc.invert(before)), reason)
    return _outcome(uris, before, {name: _remove(join(store_uri, name), name, uris) for name in TAKEN_FROM})


def _record(store_uri: str, uris: pa.Array, reason: str | None) -> None:
    if not len(uris):
        return
    table_uri = join(store_uri, TableName.TAKEDOWNS)
    create_table(table_uri, TableName.TAKEDOWNS, TAKEDOWNS)
    now = pa.scalar(datetime.datetime.now(datetime.UTC), TIMESTAMP)
    columns = [uris, pa.repeat(now, len(uris)), pa.repeat(pa.scalar(reason, pa.string()), len(uris))]
    rows = pa.Table.from_arrays(columns, schema=TAKEDOWNS)
    commit_id = f"takedown/{uuid.uuid4()}"

    def write(table: DeltaTable) -> bool:
        properties = commit_properties(commit_id, {UPKEEP: "takedown"})
        append_rows(store_uri, TableName.TAKEDOWNS, table, rows, properties)
        return True

    commit_once(table_uri, commit_id, write)


def _remove(table_uri: str, name: TableName, uris: pa.Array) -> pa.Array:
    """Removes the rows of images from a table in one commit; returns the URIs of these rows."""
    gone: list[pa.Array] = []

    def actions_on(table: DeltaTable) -> list[TableAction]:
        files = list(files_holding(table_uri, table, uris))
        gone[:] = [file.gone for file in files]
        return list(removal_actions(table_uri, name, files, TAKEDOWN))

    commit_with_token(table_uri, "takedown", actions_on)
    return _together(gone)


def _together(arrays: Iterable[pa.Array]) -> pa.Array:
    return pa.chunked_array(arrays, pa.string()).combine_chunks()


def _outcome(uris: pa.Array, before: pa.Array, gone: Mapping[TableName, pa.Array]) -> Takedown:
    seen = _together(gone.values())
    return Takedown(
        uris=len(uris),
        recorded=pc.sum(pc.invert(before)).as_py() or 0,
        absent=pc.sum(pc.invert(pc.is_in(uris, value_set=seen))).as_py() or 0,
        rows={name: len(rows) for name, rows in gone.items()},
    )
