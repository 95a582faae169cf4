"""Runs as a table for people, a line a run."""

import datetime
import json
from collections.abc import Mapping
from typing import Any, Final

from pipelines.console.padded_lines import padded_line
from schemas.errors import printable

_WIDTHS: Final = (-10, 12, 12, 9, 9, 11)
HEADS: Final = padded_line(("date", "listed", "new", "failed", "img/s", "duration"), _WIDTHS) + "  state"

# What `run_line` reads of a run.
COLUMNS: Final = (
    "run_id",
    "ds",
    "listed",
    "extracted",
    "failed",
    "images_per_second",
    "seconds",
    "state",
    "message",
    "adopted",
    "reused",
    "remaining",
)


def run_line(row: Mapping[str, Any], drift: Mapping[str, Any] | None = None) -> str:
    """Returns the line of a run.

    Args:
        row: Its row in the `runs` table.
        drift: Its row in the table `drift`, if there is one.
    """
    cells = [row[name] for name in ("ds", "listed", "extracted", "failed", "images_per_second")]
    figures = padded_line([*cells, duration_text(row["seconds"])], _WIDTHS)
    extras = [f"{row[name]:,} {name}" for name in ("adopted", "reused", "remaining") if row[name]]
    state = f"{row['state']} ({', '.join(extras)})" if extras else row["state"]
    message = f": {printable(row['message'])}" if row["message"] else ""
    return f"{figures}  {state}{message}" + (f"; drift: {drift_text(drift)}" if drift else "")


def drift_figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row of the table `drift` as values of JSON."""
    known = {name: row[name] for name in ("run_id", "layer", "before", "later", "auc", "auc_low", "auc_high", "found")}
    parsed = {name: json.loads(row[name]) for name in ("classes", "novel")}
    return {**known, "since": row["since"].isoformat(), **parsed}


def drift_text(row: Mapping[str, Any]) -> str:
    """Returns how far the images of a date can be told from those before it, from its row in the table `drift`."""
    said = "more than chance" if row["found"] else "may be chance"
    return f"AUC {row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f}), {said}"


def line_without_run(ds: datetime.date, state: str) -> str:
    """Returns the line of a date of which there was no run."""
    return padded_line([ds, *"-----"], _WIDTHS) + f"  {state}"


def duration_text(seconds: float) -> str:
    """Returns a time span as hours, minutes and seconds.

    >>> duration_text(5025.2)
    '1:23:45'
    """
    return str(datetime.timedelta(seconds=round(seconds)))
