"""Dates: which ones are asked for, where their images are, what earlier runs made of them; and a run for each.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.dates.backfill import Backfill
    from pipelines.dates.dated_runs import DatedRuns
    from pipelines.dates.dates import asked_dates, check_templates, inputs_of, sources_of
    from pipelines.dates.results import DatePlan, DateResult, DateState
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.dates.backfill": ["Backfill"],
            "pipelines.dates.dated_runs": ["DatedRuns"],
            "pipelines.dates.dates": ["asked_dates", "check_templates", "inputs_of", "sources_of"],
            "pipelines.dates.results": ["DatePlan", "DateResult", "DateState"],
        },
    )

__all__ = [
    "Backfill",
    "DatePlan",
    "DateResult",
    "DateState",
    "DatedRuns",
    "asked_dates",
    "check_templates",
    "inputs_of",
    "sources_of",
]
