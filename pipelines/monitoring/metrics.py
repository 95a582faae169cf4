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

from pipelines.monitoring.freshness import newest_images
from schemas.measures import Measures
from schemas.store import FeatureStore

_OUTCOMES: Final = ("listed", "skipped", "extracted", "reused", "adopted", "failed", "remaining")
_SECONDS: Final = "Wall time of the runs."


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


@dataclasses.dataclass
class PredictionFigures:
    """What a run of predictions has done.

    Attributes:
        folder: The folder of predictions.
        predicted: The images that it predicted; 0 where it committed nothing.
        failures: Those that failed, by code.
        seconds: Wall time.
    """

    folder: str
    predicted: int = 0
    failures: Mapping[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many images failed."""
        return sum(self.failures.values())


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
        _images(outcomes),
        _failures(failures),
        _one("convbase.read.bytes", "By", "Bytes of image files that were read.", measures.bytes_read),
        _one("convbase.feature.bytes", "By", "Bytes of features written.", sum(row["feature_bytes"] for row in made)),
        Metric("convbase.stage.seconds", "s", "Time of all threads together, by stage.", _by("stage", stages)),
        _one("convbase.run.seconds", "s", _SECONDS, sum(row["seconds"] for row in made)),
        _one("convbase.runs", "{run}", "Runs of the command.", len(made)),
        *([_one("convbase.coverage.ratio", "1", "Share of the listed images that the store has.", done / listed)]
          if (listed := outcomes["listed"]) else []),
        *_of_end(exit_code, now),
        *_of_newest(store, now),
    ]  # fmt: skip


def prediction_metrics(figures: PredictionFigures, exit_code: int, now: datetime.datetime) -> list[Metric]:
    """Returns the metrics of a run of predictions that has ended.

    Args:
        figures: What it has done.
        exit_code: How it ended.
        now: The present (UTC).
    """
    outcomes = {
        "listed": figures.predicted + figures.failed, "predicted": figures.predicted, "failed": figures.failed,
    }  # fmt: skip
    return [
        _images(outcomes),
        _failures(figures.failures),
        _one("convbase.run.seconds", "s", _SECONDS, figures.seconds),
        *_of_end(exit_code, now),
    ]


def _images(outcomes: Mapping[str, float]) -> Metric:
    return Metric("convbase.images", "{image}", "Images of the runs, by outcome.", _by("outcome", outcomes))


def _failures(by_code: Mapping[str, float]) -> Metric:
    return Metric("convbase.failures", "{image}", "Images that failed, by code.", _by("code", by_code))


def _of_end(exit_code: int, now: datetime.datetime) -> Iterable[Metric]:
    yield _one("convbase.exit.code", "1", "The command's exit code.", exit_code)
    yield _one("convbase.end.timestamp", "s", "When the command ended, in Unix time.", now.timestamp())


def _of_newest(store: FeatureStore | None, now: datetime.datetime) -> Iterable[Metric]:
    newest = newest_images(store) if store else None
    if newest is None:
        return
    over = datetime.datetime.combine(newest.ds, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
    yield _one(
        "convbase.newest.images.timestamp", "s", "When the last images came, in Unix time.", newest.ended_at.timestamp()
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
