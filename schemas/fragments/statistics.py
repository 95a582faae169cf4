"""The statistics of a file, as the Delta log holds them (Delta protocol, "Per-file Statistics").

They are complete: a reader may take a column without bounds for one without values (`deltalake` 1.6 does, when it makes
a PyArrow dataset) and skip the file.
"""

import datetime
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

_TEXT_LENGTH: Final = 64
_GREATEST_CHARACTER: Final = "\U0010ffff"

Bound: TypeAlias = "str | int | float | datetime.date | datetime.datetime"


class FileStatistics:
    """Rows, and bounds and nulls by column, of the batches seen so far; columns of lists have none."""

    def __init__(self, schema: pa.Schema) -> None:
        self._names = [field.name for field in schema if not pa.types.is_nested(field.type)]
        self._nulls = dict.fromkeys(self._names, 0)
        self._least: dict[str, Bound] = {}
        self._greatest: dict[str, Bound] = {}
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Counts a batch in."""
        self.rows += batch.num_rows
        for name in self._names:
            column = batch.column(name)
            self._nulls[name] += column.null_count
            bounds = pc.min_max(column).as_py()
            if bounds["min"] is not None:
                self._least[name] = _outermost(min, self._least.get(name), bounds["min"])
                self._greatest[name] = _outermost(max, self._greatest.get(name), bounds["max"])

    def to_json(self) -> str:
        """Returns the statistics as the Delta log wants them; bounds of long texts are cut, the upper one upwards."""
        return statistics_json(self.rows, self._least, self._greatest, self._nulls)


def statistics_json(
    rows: int, least: Mapping[str, Bound], greatest: Mapping[str, Bound], nulls: Mapping[str, int]
) -> str:
    """Returns statistics as the Delta log wants them: rows, and bounds and nulls by column."""
    return json.dumps(
        {
            "numRecords": rows,
            "minValues": {name: _json_bound(bound) for name, bound in least.items()},
            "maxValues": {name: _json_bound(bound, upper=True) for name, bound in greatest.items()},
            "nullCount": dict(nulls),
        }
    )


def has_statistics(text: str, rows: int) -> bool:
    """Whether a text that somebody has written down is the statistics of so many rows."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    parts = ("minValues", "maxValues", "nullCount")
    if not (isinstance(found, dict) and found.get("numRecords") == rows > 0):
        return False
    if not all(isinstance(found.get(part), dict) for part in parts):
        return False
    scalars = [value for part in parts for value in found[part].values()]
    uris = [found[part].get("uri") for part in parts[:2]]
    return all(isinstance(uri, str) for uri in uris) and all(isinstance(value, str | int | float) for value in scalars)


def _outermost(choose: Callable[[Any, Any], Bound], known: "Bound | None", found: Bound) -> Bound:
    """Returns the outer one of two bounds; NaN, which a batch has that has no number, bounds none."""
    if known is None or _is_nan(known):
        return found
    return known if _is_nan(found) else choose(known, found)


def _is_nan(bound: Bound) -> bool:
    return isinstance(bound, float) and math.isnan(bound)


def _json_bound(bound: Bound, *, upper: bool = False) -> str | int | float:
    if isinstance(bound, float) and not math.isfinite(bound):
        return json.dumps(bound)  # As a text, which Spark and `deltalake` read as the number.
    if isinstance(bound, datetime.datetime):
        return bound.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(bound, datetime.date):
        return bound.isoformat()
    if isinstance(bound, str) and len(bound) > _TEXT_LENGTH:
        return bound[:_TEXT_LENGTH] + (_GREATEST_CHARACTER if upper else "")
    return bound
