"""Freshness: whether images still come, by what a store's `runs` tell of the nights before."""

import dataclasses
import datetime
import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import Scan
from schemas.errors import ImagesMissing
from schemas.store import FeatureStore, RunState

# The nights that say what is usual.
_NIGHTS: Final = 14
# With fewer nights before it, nobody can say what is usual.
_LEAST_NIGHTS: Final = 3
_COLUMNS: Final = ("run_id", "ds", "ended_at", "listed", "extracted")


@dataclasses.dataclass(frozen=True)
class ExpectedImages:
    """How many images a date should have.

    Attributes:
        number: How many, or how many percent of the median of the nights before.
        is_share: Whether it is a share of that.
    """

    number: int
    is_share: bool = False

    @classmethod
    def parse(cls, text: str) -> "ExpectedImages":
        """Reads `4000` or `50%`."""
        return cls(int(text.removesuffix("%")), text.endswith("%"))

    def __str__(self) -> str:
        """Returns it as it is given to an option."""
        return f"{self.number}%" if self.is_share else str(self.number)

    def least(self, nights: Iterable[int]) -> int | None:
        """Returns the least images that are enough; None if that cannot be told.

        Args:
            nights: The images of each of the nights before.
        """
        if not self.is_share:
            return self.number
        known = list(nights)
        if len(known) < _LEAST_NIGHTS:
            return None
        return math.ceil(statistics.median(known) * self.number / 100)


def usual_nights(by_date: Mapping[datetime.date, int], before: datetime.date) -> list[int]:
    """Returns the images that the inputs of the last nights had, at most fourteen, of those that had any.

    Args:
        by_date: The images that the input of each date had.
        before: The date before which they are.
    """
    earlier = sorted(ds for ds in by_date if ds < before)
    return [by_date[ds] for ds in earlier[-_NIGHTS:] if by_date[ds]]


def listed_images(store: FeatureStore | None) -> dict[datetime.date, int]:
    """Returns how many images the input of each date had, of which there was a complete run.

    Args:
        store: The store; None where there is none yet.
    """
    by_date: dict[datetime.date, int] = {}
    for row in _complete_runs(store) if store else ():
        by_date[row["ds"]] = max(by_date.get(row["ds"], 0), row["listed"])
    return by_date


def check_number_of_images(
    expected: ExpectedImages, listed: Mapping[datetime.date, int], store: FeatureStore | None
) -> list[str]:
    """Compares the images of dates with what is expected of them.

    Args:
        expected: How many there should be.
        listed: The images of the input of each date.
        store: The store; None where there is none yet.

    Returns:
        A sentence if some of them could not be judged.

    Raises:
        ImagesMissing: If a date has fewer.
    """
    known = listed_images(store)
    least = {ds: expected.least(usual_nights(known, ds)) for ds in listed}
    few = [
        f"{ds} has {listed[ds]:,} ({number:,} expected)" for ds, number in least.items() if listed[ds] < (number or 0)
    ]
    if few:
        raise ImagesMissing(
            f"Fewer images came than --expect_images={expected} allows: {'; '.join(few)}. What came is in the store; "
            "look at what writes the input."
        )
    unknown = [ds for ds, number in least.items() if number is None]
    if not unknown:
        return []
    dates = ", ".join(map(str, unknown))
    return [f"--expect_images={expected} judges {dates} once {_LEAST_NIGHTS} nights with images are before."]


def check_freshness(store: FeatureStore, most: datetime.timedelta, now: datetime.datetime) -> str:
    """Checks that the last images came lately.

    Args:
        store: The store.
        most: How long ago they may have come.
        now: The present (UTC).

    Returns:
        The sentence that says when.

    Raises:
        ImagesMissing: If that is longer ago, or none ever came.
    """
    newest = newest_images(store)
    if newest is None:
        raise ImagesMissing(f"No run has brought an image into {store.uri} yet.")
    age, run = now - newest.ended_at, newest.run
    said = f"The last images, {run['extracted']:,} of {run['ds']}, came {_span(age)} ago by run {run['run_id']}"
    if age > most:
        raise ImagesMissing(f"{said}; --freshness allows {_span(most)}. Look at what writes the input.")
    return f"{said}."


@dataclasses.dataclass(frozen=True)
class NewestImages:
    """The images that came last into a store.

    Attributes:
        run: The row in `runs` of the run that brought them.
        ds: The newest date of which a run has brought images; that of an earlier run where a later one made up for an
            older date.
    """

    run: Mapping[str, Any]
    ds: datetime.date

    @property
    def ended_at(self) -> datetime.datetime:
        """When they came (UTC)."""
        ended: datetime.datetime = self.run["ended_at"]
        return ended


def newest_images(store: FeatureStore) -> NewestImages | None:
    """Returns what came last into a store, by a single reading of `runs`; None if no run has brought an image."""
    rows = [row for row in _complete_runs(store) if row["extracted"]]
    if not rows:
        return None
    return NewestImages(max(rows, key=lambda row: row["ended_at"]), max(row["ds"] for row in rows))


def _complete_runs(store: FeatureStore) -> list[dict[str, Any]]:
    ended = pc.field("state").isin([str(RunState.COMPLETE), str(RunState.RECOVERED)])
    rows: pa.Table = Scan(store.runs(), list(_COLUMNS), ended).to_arrow()
    return rows.to_pylist()


def _span(span: datetime.timedelta) -> str:
    """Returns a time span in hours, or in seconds where it is shorter than two minutes."""
    seconds = span.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 3600:.1f} h"
