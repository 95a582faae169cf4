"""Metrics: what a command has done, as numbers for whoever watches many of them.

They are written as a file for the textfile collector of Prometheus's node exporter, and sent to an OpenTelemetry
collector where the environment names one. Beam's own counters are another thing: those of a job that is running.
"""

import collections
import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipelines.monitoring.freshness import newest_date, newest_images
from schemas.measures import Measures
from schemas.store import FeatureStore

_OUTCOMES: Final = ("listed", "skipped", "extracted", "reused", "adopted", "failed", "remaining")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number, or several that labels tell apart.

    Attributes:
        name: Its name as OpenTelemetry has it, with dots.
        unit: Its unit by UCUM, such as `s` and `By`.
        meaning: What it is, in a sentence.
        points: Labels and value of each.
    """

    name: str
    unit: str
    meaning: str
    points: Sequence[tuple[Mapping[str, str], float]]


def night_metrics(
    rows: Iterable[Mapping[str, Any]], store: FeatureStore | None, exit_code: int, now: datetime.datetime
) -> list[Metric]:
    """Returns the metrics of a command that has ended.

    Args:
        rows: The rows in `runs` of the runs that it made.
        store: The store; None if there is none.
        exit_code: How it ended.
        now: The present (UTC).
    """
    made = list(rows)
    measures = sum((Measures.from_json(row["metrics"] or "{}") for row in made), Measures())
    failures: collections.Counter[str] = collections.Counter()
    for row in made:
        failures.update(json.loads(row["failures_by_code"]))
    outcomes = {name: sum(row[name] or 0 for row in made) for name in _OUTCOMES}
    stages = {
        "decode": measures.decode_seconds,
        "conv_base": measures.infer_seconds,
        "load": measures.load_seconds,
        "wait": measures.waited_milliseconds / 1000,
    }
    done = outcomes["skipped"] + sum(row["extracted"] for row in made if row["table_version"] is not None)
    return [
        Metric("convbase.images", "{image}", "Images of the runs, by outcome.", _by("outcome", outcomes)),
        Metric("convbase.failures", "{image}", "Images that failed, by code.", _by("code", failures)),
        _one("convbase.read.bytes", "By", "Bytes of image files that were read.", measures.bytes_read),
        _one("convbase.feature.bytes", "By", "Bytes of features written.", sum(row["feature_bytes"] for row in made)),
        Metric("convbase.stage.seconds", "s", "Time of all threads together, by stage.", _by("stage", stages)),
        _one("convbase.run.seconds", "s", "Wall time of the runs.", sum(row["seconds"] for row in made)),
        _one("convbase.runs", "{run}", "Runs of the command.", len(made)),
        *([_one("convbase.coverage.ratio", "1", "Share of the listed images that the store has.", done / listed)]
          if (listed := outcomes["listed"]) else []),
        _one("convbase.exit.code", "1", "The command's exit code.", exit_code),
        _one("convbase.end.timestamp", "s", "When the command ended, in Unix time.", now.timestamp()),
        *_of_newest(store, now),
    ]  # fmt: skip


def _of_newest(store: FeatureStore | None, now: datetime.datetime) -> Iterable[Metric]:
    row, ds = (newest_images(store), newest_date(store)) if store else (None, None)
    if row is None or ds is None:
        return
    over = datetime.datetime.combine(ds, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
    yield _one(
        "convbase.newest.images.timestamp", "s", "When the last images came, in Unix time.", row["ended_at"].timestamp()
    )
    yield _one(
        "convbase.newest.date.timestamp", "s", "When the newest date with images was over, in Unix time.",
        over.timestamp(),
    )  # fmt: skip
    yield _one(
        "convbase.newest.date.lag", "s", "How long that was before the command's end.", (now - over).total_seconds()
    )


def _one(name: str, unit: str, meaning: str, value: float) -> Metric:
    return Metric(name, unit, meaning, [({}, float(value))])


def _by(label: str, values: Mapping[str, float]) -> list[tuple[Mapping[str, str], float]]:
    return [({label: name}, float(value)) for name, value in values.items()]
