"""Dates: which ones a command looks at, and where the images of each of them are."""

import argparse
import datetime
import re
from collections.abc import Iterable, Sequence
from typing import Final

from pipelines.jobs import listing_rules
from pipelines.options import manifest_options
from schemas.errors import InputNotFound, UsageError
from transforms.sources import Source, find_sources

_ONE_DAY: Final = datetime.timedelta(days=1)

# Names in braces; {a,b} has a comma and {000..099} two dots, and is none.
_PLACEHOLDER: Final = re.compile(r"\{+\s*(?!\d+\.\.\d+\})(?P<name>\w+)[^{},]*\}+")
_DS: Final = re.compile(r"\{ds(?::(?P<format>[^{}]+))?\}")


def asked_dates(given: argparse.Namespace) -> list[datetime.date]:
    """Returns the dates from --start to --end.

    Raises:
        UsageError: If they are the wrong way round, or in the future.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    end = given.end or today - _ONE_DAY
    start = given.start or end
    if end > today:
        raise UsageError(f"{end} is in the future; in UTC it is {today}.")
    if start > end:
        raise UsageError(f"--start={start} is after --end={end}.")
    return dates_between(start, end)


def dates_between(start: datetime.date, end: datetime.date) -> list[datetime.date]:
    """Returns the dates from one to another, both included."""
    return [start + number * _ONE_DAY for number in range((end - start).days + 1)]


def check_templates(templates: Iterable[str], dates: Sequence[datetime.date]) -> None:
    """Checks that inputs name the date as they should.

    Raises:
        UsageError: If one has another name in braces than `ds`, or none where there are several dates.
    """
    for template in templates:
        strange = next((found for found in _PLACEHOLDER.finditer(template) if not _DS.fullmatch(found[0])), None)
        if strange is not None:
            raise UsageError(
                f"--input={template} has {strange[0]} in it; the date is {{ds}}, or {{ds:%Y/%m/%d}} in another form."
            )
        if len(dates) > 1 and not has_date(template):
            raise UsageError(
                f"--input={template} has no {{ds}} in it, and there are {len(dates)} dates, {dates[0]} to {dates[-1]}: "
                "without {ds} an input is of one date."
            )


def has_date(template: str) -> bool:
    """Whether an input names the date."""
    return _DS.search(template) is not None


def inputs_of(templates: Iterable[str], ds: datetime.date) -> list[str]:
    """Returns the inputs of a date.

    >>> inputs_of(["s3://bucket/{ds}/", "logs/{ds:%Y/%m}.txt"], datetime.date(2026, 1, 31))
    ['s3://bucket/2026-01-31/', 'logs/2026/01.txt']
    """
    return [_DS.sub(lambda found: format(ds, found["format"] or "%Y-%m-%d"), template) for template in templates]


def sources_of(given: argparse.Namespace, ds: datetime.date) -> list[Source]:
    """Looks at the inputs of a date. One that names the date may not be there, or not yet.

    Args:
        given: The command's options.
        ds: The date.

    Raises:
        InvalidInput: If one cannot be read, or does not name the date and is not there.
    """
    sources = []
    for template in given.input:
        try:
            sources += find_sources(inputs_of([template], ds), manifest_options(given), listing_rules(given))
        except InputNotFound:
            if not has_date(template):
                raise
    return sources
