"""The versions of a table: when, what, by which run; and what stands beside their commits in the log."""

import concurrent.futures
import dataclasses
import datetime
import functools
from collections.abc import Iterator
from typing import Any, Final

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from schemas.delta.log_entries import entry_actions
from schemas.delta.opening import open_table
from schemas.delta.transactions import COMMIT_ID, RUN_ID, UPKEEP
from schemas.errors import DamagedFile

# Requests for entries of a log that are under way: one takes some 30 ms on cloud storage.
_REQUESTS: Final = 16


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a table.

    Attributes:
        version: Its number.
        committed_at: When it was committed (UTC), if its writer says so: Delta does not ask for it.
        operation: What was done: an upkeep command, or else Delta's word for it; empty if its writer says nothing.
        run_id: The run that committed, if it was one.
        rows: Rows of the table after it; None where the log entry has expired.
        change: By how many rows there are more or less than in the version before; None where that is not known.
    """

    version: int
    committed_at: datetime.datetime | None
    operation: str
    run_id: str | None
    rows: int | None
    change: int | None


def table_history(table_uri: str, limit: int) -> Iterator[Version]:
    """Yields the last versions of a table, the newest first.

    Args:
        table_uri: The table's folder.
        limit: How many at most.
    """
    newest = open_table(table_uri).version()
    rows = _rows(table_uri, newest)
    for version in range(newest, max(-1, newest - limit), -1):
        info = commit_info(table_uri, version)
        if info is None:
            return
        before = _rows(table_uri, version - 1) if version else 0
        yield Version(
            version=version,
            committed_at=_moment(info.get("timestamp")),
            operation=str(info.get(UPKEEP) or info.get("operation", "")).lower(),
            run_id=None if info.get(RUN_ID) is None else str(info[RUN_ID]),
            rows=rows,
            change=None if rows is None or before is None else rows - before,
        )
        rows = before


def _moment(stamp: object) -> datetime.datetime | None:
    """Returns a moment by the milliseconds that a writer tells, if these are any."""
    try:
        return datetime.datetime.fromtimestamp(float(str(stamp)) / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _rows(table_uri: str, version: int) -> int | None:
    try:
        return int(open_table(table_uri, version).count())
    except (DeltaError, DamagedFile):
        return None


def find_commit(uri: str, table: DeltaTable, commit_id: str) -> tuple[int, dict[str, Any]]:
    """Returns the version of a commit that is in a table, and what stands beside it in the log.

    Raises:
        LookupError: If its entry is not in the log any more.
    """
    for version in range(table.version(), -1, -1):
        metadata = commit_info(uri, version)
        if metadata is None:
            break
        if metadata.get(COMMIT_ID) == commit_id:
            return version, metadata
    raise LookupError(f"The log of {uri} has no entry of the commit {commit_id} any more.")


def commit_info(uri: str, version: int) -> dict[str, Any] | None:
    """Returns what the commit of a version says of itself, or None if the log has expired there.

    `DeltaTable.history` finds no log in a folder with a `#` or a space in its name (1.6.6).

    Raises:
        DamagedFile: If the entry cannot be read.
    """
    actions = entry_actions(uri, version)
    if actions is None:
        return None
    return next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})


def commits_between(uri: str, after: int, last: int) -> list[tuple[int, dict[str, Any]]]:
    """Returns the versions of a table after one, up to another, and what their commits say of themselves.

    Versions whose entries have expired are left out.
    """
    versions = range(after + 1, last + 1)
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "log") as pool:
        infos = pool.map(functools.partial(commit_info, uri), versions)
        return [(version, info) for version, info in zip(versions, infos, strict=True) if info is not None]
