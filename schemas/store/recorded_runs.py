"""Rows of `runs`: written once an attempt of a run, whatever is tried again, and found."""

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from schemas.commits import append_rows
from schemas.delta import RUN_ID, Scan, commit_once, commit_properties, open_table
from schemas.fragments import TableName
from schemas.spec import FeatureSpec
from schemas.storage import join
from schemas.store.recovery import lost_runs
from schemas.store.runs import Run, RunResult, run_row


def record_run(store_uri: str, spec: FeatureSpec, run: Run, result: RunResult) -> None:
    """Writes the row of a run, once an attempt, whatever is tried again; columns that the table lacks are added.

    Rows of runs that were killed between their commits are written in the same commit; see `recovery`.
    """
    own = run_row(run, result, spec)

    def write(table: DeltaTable) -> bool:
        lost = lost_runs(store_uri, spec, table, result.planned_on, run.commit_id)
        _append(store_uri, table, {**lost.rows, run.commit_id: own}, run.commit_id, run.run_id, marks=lost.marks)
        return True

    commit_once(join(store_uri, TableName.RUNS), run.commit_id, write)


def recover_run(store_uri: str, spec: FeatureSpec, run_id: str, newest: Mapping[TableName, int]) -> None:
    """Writes the row that a run lacks whose features are committed; nothing if it lacks none.

    Args:
        store_uri: The store.
        spec: Its spec.
        run_id: The run.
        newest: The newest versions of `features` and `failures`.
    """
    commit_id = f"recover/{uuid.uuid4()}"

    def write(table: DeltaTable) -> bool:
        found = lost_runs(store_uri, spec, table, newest).rows
        lost = {name: row for name, row in found.items() if row["run_id"].to_pylist() == [run_id]}
        lost = {name: row for name, row in lost.items() if row["table_version"].null_count == 0}
        if lost:
            _append(store_uri, table, lost, commit_id, run_id)
        return bool(lost)

    commit_once(join(store_uri, TableName.RUNS), commit_id, write)


def rows_of_run(store_uri: str, run_id: str) -> list[dict[str, Any]]:
    """Returns the rows of a run by column, one an attempt, in the order in which they ended."""
    runs = open_table(join(store_uri, TableName.RUNS))
    rows: list[dict[str, Any]] = Scan(runs, where=[("run_id", "=", run_id)]).to_arrow().to_pylist()
    return sorted(rows, key=lambda row: row["ended_at"])


def _append(
    store_uri: str,
    runs: DeltaTable,
    rows: Mapping[str, pa.Table],
    commit_id: str,
    run_id: str,
    *,
    marks: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Adds rows to `runs`, each once: they are marked with the names of the commits of their runs.

    A run of which only failures are committed is not: it may be alive, and go on.
    """
    ended = {name: 1 for name, row in rows.items() if name != commit_id and row["table_version"].null_count == 0}
    properties = commit_properties(commit_id, {RUN_ID: run_id}, runs.version(), {**ended, **marks})
    append_rows(store_uri, TableName.RUNS, runs, pa.concat_tables(rows.values()), properties)
