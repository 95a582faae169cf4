"""Runs as a table for people, a line a run."""

import datetime
from collections.abc import Mapping
from typing import Any, Final

from pipelines.console.padded_lines import padded_line
from schemas.errors import printable

_WIDTHS: Final = (-10, 12, 12, 9, 9, 11)
HEADS: Final = padded_line(("date", "listed", "new", "failed", "img/s", "duration"), _WIDTHS) + "  state"

# What `run_line` reads of a run.
COLUMNS: Final = (
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


def run_line(row: Mapping[str, Any]) -> str:
    """Returns the line of a run, from its row in the `runs` table."""
    cells = [row[name] for name in ("ds", "listed", "extracted", "failed", "images_per_second")]
    figures = padded_line([*cells, duration_text(row["seconds"])], _WIDTHS)
    extras = [f"{row[name]:,} {name}" for name in ("adopted", "reused", "remaining") if row[name]]
    state = f"{row['state']} ({', '.join(extras)})" if extras else row["state"]
    return f"{figures}  {state}" + (f": {printable(row['message'])}" if row["message"] else "")


def line_without_run(ds: datetime.date, state: str) -> str:
    """Returns the line of a date of which there was no run."""
    return padded_line([ds, *"-----"], _WIDTHS) + f"  {state}"


def duration_text(seconds: float) -> str:
    """Returns a time span as hours, minutes and seconds.

    >>> duration_text(5025.2)
    '1:23:45'
    """
    return str(datetime.timedelta(seconds=round(seconds)))
