"""Runs as a table for people, a line a run."""

import datetime
from collections.abc import Mapping
from typing import Any, Final

HEADS: Final = f"{'date':<10}{'listed':>12}{'new':>12}{'failed':>9}{'img/s':>9}{'duration':>11}  state"

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
    figures = (
        f"{row['listed']:>12,}{row['extracted']:>12,}{row['failed']:>9,}{row['images_per_second']:>9.1f}"
        f"{duration_text(row['seconds']):>11}"
    )
    extras = [f"{row[name]:,} {name}" for name in ("adopted", "reused", "remaining") if row[name]]
    state = f"{row['state']} ({', '.join(extras)})" if extras else row["state"]
    return f"{row['ds']}{figures}  {state}" + (f": {row['message']}" if row["message"] else "")


def line_without_run(ds: datetime.date, state: str) -> str:
    """Returns the line of a date of which there was no run."""
    return f"{ds}{'-':>12}{'-':>12}{'-':>9}{'-':>9}{'-':>11}  {state}"


def duration_text(seconds: float) -> str:
    """Returns a time span as hours, minutes and seconds.

    >>> duration_text(5025.2)
    '1:23:45'
    """
    return str(datetime.timedelta(seconds=round(seconds)))
