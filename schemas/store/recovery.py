"""Recovery: the rows in `runs` of runs that were killed between their commits, written by a later run.

What a run knows of itself stands in the log beside its commits. A run that writes its own row looks at the commits to
the other tables that none before it has looked at, up to the versions on which it planned, and writes a row for each
attempt at a run that has none, in the same commit. How far was looked is an application transaction of `runs`.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa
from deltalake import DeltaTable

from schemas.commits import TOTALS
from schemas.delta import COMMIT_ID, RUN_ID, commits_between, committed
from schemas.fragments import TableName, Totals
from schemas.spec import FeatureSpec
from schemas.storage import join
from schemas.store.runs import InputCounts, Run, RunResult, RunState, run_row

# What stands in the log beside the commits of a run: what it knows of itself, as JSON.
FACTS: Final = "run"
MESSAGE: Final = "It ended before it could write this row; what it had committed until then is in the tables."

_COMMITTED_TO: Final = (TableName.FAILURES, TableName.FEATURES)


class RunCommit(NamedTuple):
    """A commit of a run.

    Attributes:
        table: The table.
        version: The version of the table that it made.
        info: What stands beside it in the log.
    """

    table: TableName
    version: int
    info: Mapping[str, Any]


class LostRuns(NamedTuple):
    """Runs that have committed and have no row in `runs`.

    Attributes:
        rows: Their rows, by the name of the commits.
        marks: How far was looked, as application transactions for the commit that brings the rows.
    """

    rows: Mapping[str, pa.Table]
    marks: Mapping[str, int]


def lost_runs(
    store_uri: str, spec: FeatureSpec, runs: DeltaTable, upto: Mapping[TableName, int], own: str | None = None
) -> LostRuns:
    """Finds the runs that have no row, among the commits that no run has looked at before.

    Args:
        store_uri: The store.
        spec: Its spec.
        runs: A snapshot of `runs`.
        upto: The versions of tables up to which is looked: what was committed since may be of runs that are at
            it right now.
        own: The name of the commits of the run that looks, if one does.
    """
    commits: list[RunCommit] = []
    marks: dict[str, int] = {}
    for name in _COMMITTED_TO:
        looked_at = runs.transaction_version(_mark(name))
        if name in upto:
            after, last = -1 if looked_at is None else looked_at, upto[name]
            commits += _run_commits(store_uri, name, after, last)
            marks[_mark(name)] = max(after, last)
    return LostRuns(_rows_of(commits, runs, spec, own), marks)


def _mark(name: TableName) -> str:
    return f"convbase/looked-at/{name}"


def _run_commits(store_uri: str, name: TableName, after: int, last: int) -> list[RunCommit]:
    found = commits_between(join(store_uri, name), after, last)
    return [RunCommit(name, version, info) for version, info in found if {RUN_ID, COMMIT_ID} <= info.keys()]


def _rows_of(commits: Iterable[RunCommit], runs: DeltaTable, spec: FeatureSpec, own: str | None) -> dict[str, pa.Table]:
    by_id: dict[str, list[RunCommit]] = {}
    for commit in commits:
        by_id.setdefault(commit.info[COMMIT_ID], []).append(commit)
    return {
        commit_id: _recovered_row(found, spec)
        for commit_id, found in by_id.items()
        if commit_id != own and not committed(runs, commit_id)
    }


def _recovered_row(commits: list[RunCommit], spec: FeatureSpec) -> pa.Table:
    """Returns the row of a run from its commits, one or two of them; beside those of old stores stands less."""
    last = commits[-1]
    ended_at = datetime.datetime.fromtimestamp(last.info["timestamp"] / 1000, datetime.UTC)
    totals = sum((Totals.from_json(commit.info.get(TOTALS, "{}")) for commit in commits), Totals())
    if FACTS in last.info:
        run, counts = Run.from_facts(last.info[FACTS])
    else:
        run = Run(last.info[RUN_ID], ended_at.date(), ended_at, 1.0, "", "", {}, {})
        counts = InputCounts(listed=totals.images)
    version = next((commit.version for commit in commits if commit.table == TableName.FEATURES), None)
    others = counts.planned - totals.images
    counts += InputCounts(remaining=others) if version is None else InputCounts(skipped=others)
    result = RunResult(RunState.RECOVERED, counts, totals, MESSAGE, version, ended_at=ended_at)
    return run_row(run, result, spec)
