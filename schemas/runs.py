"""A run: one execution of an extraction, and its row in the store's `runs` table."""

import dataclasses
import datetime
import enum
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from schemas.fragments import Fragment, TableName
from schemas.spec import FeatureSpec
from schemas.tables import RUNS


class RunState(enum.StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class InputCounts:
    """What planning made of the input; sums with `+`.

    Attributes:
        listed: Images in the input, each (uri, version) once.
        skipped: Of these, images that the store knew already.
        duplicates: Further mentions of the same image.
        left_aside: Files in folders without an image's extension.
    """

    listed: int = 0
    skipped: int = 0
    duplicates: int = 0
    left_aside: int = 0

    def __add__(self, other: "InputCounts") -> "InputCounts":
        return InputCounts(
            self.listed + other.listed,
            self.skipped + other.skipped,
            self.duplicates + other.duplicates,
            self.left_aside + other.left_aside,
        )

    @property
    def planned(self) -> int:
        """Images that the run has to process."""
        return self.listed - self.skipped


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
    """

    run_id: str
    ds: datetime.date
    started_at: datetime.datetime
    max_failure_ratio: float
    runner: str
    engine: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """What became of a run.

    Attributes:
        state: How it ended.
        message: Why it failed, if it did.
        ended_at: When it was committed or failed (UTC).
        counts: What planning made of the input.
        extracted: Images that got features.
        reused: Of these, images that took the features of another image of the same bytes.
        failed: Images that could not be processed.
        failures_by_code: How many failures there were of each code.
        feature_bytes: Bytes of the Parquet files added to `features`.
        table_version: The version of `features` after the run; None if it failed.
    """

    state: RunState
    message: str | None
    ended_at: datetime.datetime
    counts: InputCounts
    extracted: int
    reused: int
    failed: int
    failures_by_code: Mapping[str, int]
    feature_bytes: int
    table_version: int | None

    @property
    def failure_ratio(self) -> float:
        """The share of failures among the images processed, 0 to 1."""
        return self.failed / max(1, self.extracted + self.failed)

    @property
    def coverage(self) -> float:
        """The share of the input's images that the store knows after the run, 0 to 1."""
        committed = self.extracted if self.state == RunState.COMPLETE else 0
        return (self.counts.skipped + committed) / max(1, self.counts.listed)


def outcome_of(
    fragments: Iterable[Fragment],
    counts: InputCounts,
    state: RunState = RunState.COMPLETE,
    message: str | None = None,
    table_version: int | None = None,
) -> RunOutcome:
    """Adds up what a run's fragments hold, as of now."""
    rows: Counter[TableName] = Counter()
    codes: Counter[str] = Counter()
    feature_bytes = reused = 0
    for fragment in fragments:
        rows[fragment.table] += fragment.rows
        reused += fragment.reused
        codes.update({str(code): count for code, count in fragment.failures_by_code})
        if fragment.table == TableName.FEATURES:
            feature_bytes += fragment.size
    return RunOutcome(
        state=state,
        message=message,
        ended_at=datetime.datetime.now(datetime.UTC),
        counts=counts,
        extracted=rows[TableName.FEATURES],
        reused=reused,
        failed=rows[TableName.FAILURES],
        failures_by_code=dict(codes.most_common()),
        feature_bytes=feature_bytes,
        table_version=table_version,
    )


def run_row(run: Run, outcome: RunOutcome, spec: FeatureSpec) -> pa.Table:
    """Returns the row of a run in the `runs` table."""
    seconds = (outcome.ended_at - run.started_at).total_seconds()
    row = {
        "run_id": run.run_id,
        "ds": run.ds,
        "state": str(outcome.state),
        "message": outcome.message,
        "started_at": run.started_at,
        "ended_at": outcome.ended_at,
        **dataclasses.asdict(outcome.counts),
        "extracted": outcome.extracted,
        "reused": outcome.reused,
        "failed": outcome.failed,
        "seconds": seconds,
        "images_per_second": (outcome.extracted + outcome.failed) / seconds if seconds > 0 else 0.0,
        "failures_by_code": json.dumps(outcome.failures_by_code),
        "feature_bytes": outcome.feature_bytes,
        "table_version": outcome.table_version,
        "fingerprint": spec.fingerprint,
        "engine": run.engine,
        "runner": run.runner,
        "spec": spec.to_json(),
        "options": json.dumps(run.options, sort_keys=True),
        "versions": json.dumps(run.versions, sort_keys=True),
    }
    return pa.Table.from_pylist([row], schema=RUNS)
