"""Drift of a night: the images of a date against those of the dates before it, in a store."""

import dataclasses
import datetime
import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import files_of
from schemas.store import FeatureStore
from transforms.exploration.drift import LEAST_COMPARED, Drift, DriftSide, measure_drift
from transforms.exploration.explored_images import read_explored

# Images of each side that are compared: with these an AUC is known to some thousandths.
MOST_COMPARED: Final = 20_000
_CLASSES_KEPT: Final = 50


@dataclasses.dataclass(frozen=True)
class NightlyDrift:
    """How the images of a date differ from those before it.

    Attributes:
        ds: The date.
        since: The first of the dates before it whose images it was compared with.
        layer: The feature column.
        drift: The difference.
    """

    ds: datetime.date
    since: datetime.date
    layer: str
    drift: Drift

    def row(self, run_id: str) -> dict[str, Any]:
        """Returns its row in the table `drift`, by column.

        Args:
            run_id: The run that brought the images of the date.
        """
        found = self.drift.to_dict()
        return {
            "run_id": run_id,
            "ds": self.ds,
            "since": self.since,
            "layer": self.layer,
            "before": self.drift.before,
            "later": self.drift.later,
            **self.drift.figures(),
            "classes": json.dumps(found["classes"][:_CLASSES_KEPT]),
            "novel": json.dumps(found["novel"]),
            "measured_at": datetime.datetime.now(datetime.UTC),
        }


def measure_nightly_drift(store: FeatureStore, ds: datetime.date) -> NightlyDrift | None:
    """Compares the images of a date with those of the dates before, of which the nearest are enough.

    Of several layers it is the last that is compared, and of many images a sample, the same one each time.

    Returns:
        The difference; None where there are too few images to tell.

    Raises:
        InvalidFeatures: If some features are NaN or infinite.
    """
    table, layer = store.features(), store.spec.layers[-1]
    rows = _rows_by_date(files_of(table))
    before, since = 0, ds
    for earlier in sorted((date for date in rows if date < ds), reverse=True):
        if before >= MOST_COMPARED:
            break
        before, since = before + rows[earlier], earlier
    if min(before, rows.get(ds, 0)) < LEAST_COMPARED:
        return None
    field = pc.field("ds")
    sides = [
        DriftSide.of(read_explored(store, layer, table.version(), where, MOST_COMPARED))
        for where in ((field >= since) & (field < ds), field == ds)
    ]
    # Rows of augmented copies are no images, and a picture that came many times is one.
    if min(side.different for side in sides) < LEAST_COMPARED:
        return None
    # An image may have come again on another date in another version; one in the same version has one row.
    return NightlyDrift(ds, since, layer, measure_drift(*sides))


def _rows_by_date(files: pa.Table) -> dict[datetime.date, int]:
    dates, counts = files["partition.ds"].to_pylist(), files["num_records"].to_pylist()
    found: dict[datetime.date, int] = {}
    for ds, count in zip(dates, counts, strict=True):
        found[ds] = found.get(ds, 0) + int(np.int64(count or 0))
    return found
