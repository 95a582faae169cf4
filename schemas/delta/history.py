"""The versions of a table: when, what, by which run."""

import dataclasses
import datetime
from collections.abc import Iterator

from deltalake.exceptions import DeltaError

from schemas.delta.transactions import RUN_ID, UPKEEP, commit_info, open_table
from schemas.errors import DamagedFile


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
