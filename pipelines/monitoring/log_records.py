"""Log records: what is logged and printed as lines of JSON, each of which says what run it is about.

The fields are those that Cloud Logging's agents know (`severity`, `message`, `timestamp`, `time`), which Kubernetes
passes on as they are, and ours: `run_id`, `ds`, `store`, and the figures of a run that has ended.
"""

import contextlib
import datetime
import enum
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.errors import ConvbaseError, first_line, printable
from schemas.uris import without_secrets

RUN_LOGGER: Final = logging.getLogger("convbase.runs")

# What of a run's row is told when it ends.
_CLOSING: Final = (
    "listed", "skipped", "extracted", "reused", "adopted", "failed", "remaining", "labels_updated", "seconds",
    "images_per_second", "feature_bytes", "table_version",
)  # fmt: skip
# What of a process is about one run at a time: logging, progress and errors come from several of its threads.
_SUBJECT: dict[str, str] = {}
_FIGURES: Final = "figures"


class LogFormat(enum.StrEnum):
    """How a command's lines look."""

    TEXT = "text"
    JSON = "json"


def set_subject(run_id: str | None = None, ds: datetime.date | None = None, store: str | None = None) -> None:
    """Says what run all that is logged and printed from now on is about; without arguments, about none."""
    known = {"run_id": run_id, "ds": None if ds is None else ds.isoformat(), "store": store and without_secrets(store)}
    _SUBJECT.clear()
    _SUBJECT.update({name: value for name, value in known.items() if value})


def subject_prefix() -> str:
    """Returns the name of the run that is under way, as lines of text begin with it; empty if there is none."""
    return f"{_SUBJECT['run_id']}: " if "run_id" in _SUBJECT else ""


def json_record(severity: str, message: str, figures: Mapping[str, object] | None = None) -> str:
    """Returns a record as a line of JSON, without its line break.

    Args:
        severity: One of Cloud Logging's: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
        message: What is said; it may have several lines.
        figures: Further fields.
    """
    now = datetime.datetime.now(datetime.UTC)
    record = {
        "time": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "timestamp": {"seconds": int(now.timestamp()), "nanos": now.microsecond * 1000},
        "severity": severity,
        "message": without_secrets("\n".join(map(printable, message.split("\n")))),
        **_SUBJECT,
        **(figures or {}),
    }
    return json.dumps(record, default=str)


def printed_record(text: str, *, is_error: bool) -> str:
    """Returns what was printed as a record: what begins with `error: ` or `warning: ` has that severity."""
    beginning, colon, rest = text.partition(": ")
    if is_error and colon and beginning in {"error", "warning"}:
        return json_record(beginning.upper(), rest)
    return json_record("CRITICAL" if is_error and text.startswith("Traceback") else "INFO", text)


class TextFormatter(logging.Formatter):
    """Writes a record on one line, without what a terminal would obey and what signs a URL; a traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Returns the record without its traceback."""
        record.message = f"{subject_prefix()}{printable(record.message)}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record."""
        return without_secrets(super().format(record))


class JsonHandler(logging.Handler):
    """Writes each log record as a line of JSON on standard error, past what makes records of what is printed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record; where that fails, logging's own handling of it says so, and nothing is raised."""
        try:
            message = record.getMessage()
            if record.exc_info:
                message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
            line = json_record(record.levelname, message, {"logger": record.name, **getattr(record, _FIGURES, {})})
            write = getattr(sys.stderr, "write_whole", sys.stderr.write)
            write(f"{line}\n")
        except Exception:  # noqa: BLE001 (whoever logs is not at fault)
            self.handleError(record)


def log_begin(run_id: str, ds: datetime.date | None, store: str) -> None:
    """Logs that a run begins; from now on, all is about it.

    Args:
        run_id: The run.
        ds: Its date, if it has one.
        store: The store, or the folder of predictions.
    """
    set_subject(run_id, ds, store)
    RUN_LOGGER.info("Run %s%s begins.", run_id, f" of {ds}" if ds else "", extra={_FIGURES: {"event": "run_begins"}})


@contextlib.contextmanager
def logged_run(run_id: str, folder: str) -> Iterator[dict[str, int]]:
    """Logs the beginning and the end of a run of predictions, which is what is done meanwhile.

    Args:
        run_id: The run.
        folder: The folder of predictions.

    Yields:
        What gets the closing figures.
    """
    log_begin(run_id, None, folder)
    figures: dict[str, int] = {}
    try:
        yield figures
    except (ConvbaseError, OSError) as error:
        log_failure(run_id, error)
        raise
    shown = ", ".join(f"{value:,} {name}" for name, value in figures.items())
    further = {"event": "run_ends", "state": "complete", **figures}
    RUN_LOGGER.info("Run %s is complete: %s.", run_id, shown, extra={_FIGURES: further})


@contextlib.contextmanager
def logged_work(command: str, folder: str) -> Iterator[dict[str, object]]:
    """Logs the beginning and the end of what is done meanwhile and is no run: all is about its folder from now on.

    Args:
        command: The command, as in "maintain compact".
        folder: The store, or the folder that is written.

    Yields:
        What gets the closing figures.
    """
    set_subject(store=folder)
    began = time.perf_counter()
    told: dict[str, object] = {"command": command}
    RUN_LOGGER.info("%s of %s begins.", command, folder, extra={_FIGURES: {"event": "command_begins", **told}})
    figures: dict[str, object] = {}
    try:
        yield figures
    except (ConvbaseError, OSError) as error:
        told.update(event="command_ends", state="failed", seconds=round(time.perf_counter() - began, 3))
        RUN_LOGGER.error("%s of %s failed: %s", command, folder, first_line(error), extra={_FIGURES: told})
        raise
    seconds = time.perf_counter() - began
    told.update(event="command_ends", state="complete", seconds=round(seconds, 3), **figures)
    RUN_LOGGER.info("%s of %s is complete, in %.1f s.", command, folder, seconds, extra={_FIGURES: told})


def log_row(row: Mapping[str, Any]) -> None:
    """Logs how an extraction has ended, with its closing figures.

    Args:
        row: Its row in the table `runs`.
    """
    figures = {name: row[name] for name in _CLOSING if row.get(name) is not None}
    failures = json.loads(row.get("failures_by_code") or "{}")
    shown = ", ".join(f"{figures.get(name, 0):,} {name}" for name in ("listed", "skipped", "extracted", "failed"))
    RUN_LOGGER.info(
        "Run %s is %s: %s, in %.1f s.",
        row["run_id"], row["state"], shown, row["seconds"],
        extra={_FIGURES: {"event": "run_ends", "state": row["state"], **figures, "failures_by_code": failures}},
    )  # fmt: skip


def log_failure(run_id: str, error: Exception) -> None:
    """Logs that a run has ended without a row in the table `runs`, or with one that says the same."""
    further = {"event": "run_ends", "state": "failed"}
    RUN_LOGGER.error("Run %s failed: %s", run_id, first_line(error), extra={_FIGURES: further})
