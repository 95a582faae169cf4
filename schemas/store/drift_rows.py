"""The table `drift`: how the images of a date differ from those before it. It is made when that is first measured."""

import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from schemas.commits import append_rows
from schemas.delta import RUN_ID, Scan, commit_once, commit_properties, create_table, find_table
from schemas.fragments import TableName
from schemas.storage import join
from schemas.tables import DRIFT


def record_drift(store_uri: str, row: Mapping[str, Any]) -> None:
    """Adds a row to the table, by its columns.

    Raises:
        RunFailed: If it cannot be committed.
    """
    table_uri, commit_id = join(store_uri, TableName.DRIFT), f"drift/{uuid.uuid4()}"
    create_table(table_uri, TableName.DRIFT, DRIFT)

    def write(table: DeltaTable) -> bool:
        properties = commit_properties(commit_id, {RUN_ID: row["run_id"]})
        append_rows(store_uri, TableName.DRIFT, table, pa.Table.from_pylist([row], DRIFT), properties)
        return True

    commit_once(table_uri, commit_id, write)


def read_drift(store_uri: str) -> list[dict[str, Any]]:
    """Returns the rows of the table, of each run the last that was measured, the oldest first; none without a table."""
    table = find_table(join(store_uri, TableName.DRIFT))
    if table is None:
        return []
    rows = Scan(table).to_arrow().sort_by("measured_at").to_pylist()
    return list({row["run_id"]: row for row in rows}.values())
