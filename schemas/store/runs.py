"""A run: one execution of an extraction, and its row in the store's `runs` table."""

import dataclasses
import datetime
import enum
import json
import operator
import uuid
from collections.abc import Mapping
from typing import Any, Self

import pyarrow as pa

from schemas.fragments import TableName, Totals
from schemas.measures import Measures
from schemas.spec import FeatureSpec
from schemas.store.label_counts import LabelCounts
from schemas.tables import RUNS


class RunState(enum.StrEnum):
    """How a run ended; recovered is one that was killed while it committed, whose row a later run has written."""

    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"
    RECOVERED = "recovered"


@dataclasses.dataclass(frozen=True)
class InputCounts:
    """What planning made of the input; sums with `+`.

    Attributes:
        listed: Images in the input, each (uri, version) once.
        skipped: Of these, images that the store knew already.
        duplicates: Duplicate URIs.
        left_aside: Ignored files: hidden, excluded, or without an image's extension.
        remaining: Of the planned, images left for the next run because the time was up.
        outdated: Of the skipped, images of which the input says something else than the table.
        labels: The labels and splits of the images.
    """

    listed: int = 0
    skipped: int = 0
    duplicates: int = 0
    left_aside: int = 0
    remaining: int = 0
    outdated: int = 0
    labels: LabelCounts = dataclasses.field(default_factory=LabelCounts, compare=False)

    def __add__(self, other: "InputCounts") -> "InputCounts":
        return InputCounts(*map(operator.add, vars(self).values(), vars(other).values()))

    @property
    def planned(self) -> int:
        """Images that the run has to process."""
        return self.listed - self.skipped


def new_run_id(started_at: datetime.datetime) -> str:
    """Returns a name for a run without a name of its own: its timestamp and a random suffix."""
    return f"{started_at:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


@dataclasses.dataclass(frozen=True)
class Run:
    """What is known of a run before it begins.

    Attributes:
        run_id: Its name, unique in the store; a run that is tried again under the same name commits once.
        ds: The partition date of the rows that it writes.
        started_at: When it began (UTC).
        max_failure_ratio: The greatest share of failures among the images processed with which it is committed, 0 to 1.
        runner: The Beam runner.
        engine: What runs the conv base.
        options: The command's options, credentials taken out.
        versions: Versions by package.
        refresh: The refresh of which it is an attempt, its name the beginning of the run's: known features are computed
            again and superseded, and only what earlier attempts at it have left is adopted.
        attempt: Distinguishes this execution from others of the same name: what a worker does twice is committed
            once, and what is started twice at once is not mistaken for it.
    """

    run_id: str
    ds: datetime.date
    started_at: datetime.datetime
    max_failure_ratio: float
    runner: str
    engine: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    refresh: str | None = None
    attempt: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def commit_id(self) -> str:
        """The name of its commits."""
        return f"{self.run_id}/{self.attempt}"

    def facts(self, counts: InputCounts) -> str:
        """Returns what is known of it when it commits, as JSON; the labels of its input are left out."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        numbers = {name: int(value) for name, value in vars(counts).items() if name != "labels"}
        dates = {"ds": self.ds.isoformat(), "started_at": self.started_at.isoformat()}
        return json.dumps({**known, **dates, "counts": numbers})

    @classmethod
    def from_facts(cls, facts: str) -> tuple[Self, InputCounts]:
        """Reads what `facts` returned."""
        known = json.loads(facts)
        counts = InputCounts(**known.pop("counts"))
        dates = {
            "ds": datetime.date.fromisoformat(known["ds"]),
            "started_at": datetime.datetime.fromisoformat(known["started_at"]),
        }
        return cls(**{**known, **dates}), counts


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        state: How it ended.
        counts: What planning made of the input.
        totals: What was committed; what was written, if it was not committed.
        message: Why it failed or stopped, if it did.
        table_version: The version of `features` after the run; None if it was not committed.
        planned_on: The versions of the store's tables on which the run planned, where that is known.
        measures: What the work cost, where it was measured.
        ended_at: When it was committed, failed or stopped (UTC).
    """

    state: RunState
    counts: InputCounts
    totals: Totals
    message: str | None = None
    table_version: int | None = None
    measures: Measures | None = None
    planned_on: Mapping[TableName, int] = dataclasses.field(default_factory=dict)
    ended_at: datetime.datetime = dataclasses.field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    @property
    def coverage(self) -> float:
        """The share of the input's images that the store knows after the run, 0 to 1."""
        committed = self.totals.extracted if self.state == RunState.COMPLETE else 0
        return (self.counts.skipped + committed) / max(1, self.counts.listed)


def run_row(run: Run, result: RunResult, spec: FeatureSpec) -> pa.Table:
    """Returns the row of a run in the `runs` table."""
    seconds = max(0.0, (result.ended_at - run.started_at).total_seconds())  # A clock may be set back meanwhile.
    row = {
        **vars(run),
        **vars(result.counts),
        **vars(result.totals),
        "state": str(result.state),
        "message": result.message,
        "ended_at": result.ended_at,
        "table_version": result.table_version,
        "planned_version": result.planned_on.get(TableName.FEATURES),
        "seconds": seconds,
        "images_per_second": result.totals.images / seconds if seconds > 0 else 0.0,
        "failures_by_code": json.dumps(result.totals.failures_by_code),
        "fingerprint": spec.fingerprint,
        "spec": spec.to_json(),
        "options": json.dumps(run.options, sort_keys=True),
        "versions": json.dumps(run.versions, sort_keys=True),
        "labels": result.counts.labels.to_json(),
        "metrics": result.measures.to_json() if result.measures else None,
    }
    return pa.Table.from_pylist([row], schema=RUNS)
