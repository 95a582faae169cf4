"""What becomes of a date, and what would become of it."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any

from schemas.store import InputCounts, RunState


class DateState(enum.StrEnum):
    """The result of a date.

    The first three are those of its run; a date that is complete already is skipped, one without an image is empty,
    and not begun is one for which there was no time.
    """

    COMPLETE = str(RunState.COMPLETE)
    FAILED = str(RunState.FAILED)
    STOPPED = str(RunState.STOPPED)
    SKIPPED = "skipped"
    EMPTY = "empty"
    NOT_BEGUN = "not begun"


@dataclasses.dataclass(frozen=True)
class DateResult:
    """The result of a date.

    Attributes:
        ds: The date.
        state: How it ended.
        row: Its run's row in the `runs` table, if there was a run.
        message: Why it failed, where there is no row that says so.
        drift: How its images differ from those of the dates before, as a row of the table `drift`, if that is known.
    """

    ds: datetime.date
    state: DateState
    row: Mapping[str, Any] | None = None
    message: str | None = None
    drift: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class DatePlan:
    """What would be done of a date.

    Attributes:
        ds: The date.
        counts: What its run would make of its input, or None if there would be none.
        state: Why there would be none.
    """

    ds: datetime.date
    counts: InputCounts | None
    state: str = "to do"
