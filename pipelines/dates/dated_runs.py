"""What a store's `runs` tell of dates: which are complete, and how the next run of one is called.

    backfill-2026-01-31-1-5f3a              the first run of a date
    backfill-2026-01-31-refresh1-2-91c0     the second attempt at its first refresh

The last part is chance: two backfills at once have two names.
"""

import datetime
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import Scan
from schemas.fragments import TableName
from schemas.storage import join, without_secrets
from schemas.store import FeatureStore, RunState, TakenOut

_PREFIX: Final = "backfill-"
_COLUMNS: Final = ("ds", "run_id", "state", "started_at", "ended_at", "options", "table_version", "planned_version")
_NEVER: Final = datetime.datetime.min.replace(tzinfo=datetime.UTC)


class DatedRuns:
    """The runs of earlier backfills by date, those that ended."""

    def __init__(
        self, rows: Iterable[Mapping[str, Any]] = (), taken_out: Callable[[Mapping[str, Any]], bool] = lambda _: False
    ) -> None:
        """Takes rows of `runs`; those that are no backfill's are ignored.

        Args:
            rows: The rows.
            taken_out: Whether rows of a run, or those that it found, have been taken out of the table since.
        """
        self._rows = [row for row in rows if row["run_id"].startswith(_PREFIX)]
        self._taken_out = taken_out

    @classmethod
    def read(cls, store: FeatureStore | None, dates: Sequence[datetime.date]) -> "DatedRuns":
        """Reads the runs of some dates; there are none where there is no store yet."""
        if store is None:
            return cls()
        runs = store.runs()
        present = [name for name in _COLUMNS if name in pa.schema(runs.schema()).names]
        rows = Scan(runs, present, pc.field("ds").isin(dates)).to_arrow().to_pylist()
        return cls(rows, TakenOut(join(store.uri, TableName.FEATURES)).since)

    def is_complete(
        self, ds: datetime.date, inputs: Sequence[str], extensions: Sequence[str], labels_from: str | None = None
    ) -> bool:
        """Whether a date is complete: a run over the same inputs is, that began when the date was over in UTC.

        What this run committed and what it found has to be in the table still, but for what was taken down. Where
        labels are to be taken from folders, that run has to have done so too.
        """
        looked_at = json.loads(without_secrets(json.dumps([inputs, extensions, labels_from])))
        return any(
            row["started_at"].date() > ds and _looked_at(row, labels_from) == looked_at and not self._taken_out(row)
            for row in self._complete(f"{_PREFIX}{ds}-")
        )

    def refreshed_at(self, ds: datetime.date) -> datetime.datetime:
        """Returns when a date was last refreshed; long ago if never."""
        return max((row["ended_at"] for row in self._complete(_refreshes(ds))), default=_NEVER)

    def next_refresh(self, ds: datetime.date) -> str:
        """Returns the name of the refresh of a date that is to be done or gone on with."""
        return f"{_refreshes(ds)}{len(self._complete(_refreshes(ds))) + 1}"

    def next_run_id(self, ds: datetime.date, refresh: str | None = None) -> str:
        """Returns the name of a run that is yet to begin."""
        name = refresh or f"{_PREFIX}{ds}"
        ended = [row for row in self._rows if row["run_id"].startswith(f"{name}-")]
        if refresh is None:
            ended = [row for row in ended if not row["run_id"].startswith(_refreshes(ds))]
        return f"{name}-{len(ended) + 1}-{uuid.uuid4().hex[:4]}"

    def _complete(self, beginning: str) -> list[Mapping[str, Any]]:
        return [row for row in self._rows if row["state"] == RunState.COMPLETE and row["run_id"].startswith(beginning)]


def _refreshes(ds: datetime.date) -> str:
    return f"{_PREFIX}{ds}-refresh"


def _looked_at(row: Mapping[str, Any], labels_from: str | None) -> list[Any]:
    options = json.loads(row["options"])
    return [options.get("input"), options.get("extensions"), labels_from and options.get("labels_from")]
