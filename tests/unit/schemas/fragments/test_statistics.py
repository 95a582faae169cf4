"""Statistics never make a reader skip a file that holds what it looks for."""

import datetime
import json

import pyarrow as pa

from schemas.fragments.statistics import FileStatistics

SCHEMA = pa.schema(
    [("text", pa.string()), ("number", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("on", pa.date32()),
     ("none", pa.string()), ("list", pa.list_(pa.float32()))]
)  # fmt: skip


def batch(text: str, number: int, second: int) -> pa.RecordBatch:
    at = datetime.datetime(2026, 1, 31, 12, 0, second, 123456, tzinfo=datetime.UTC)
    row = {"text": text, "number": number, "at": at, "on": at.date(), "none": None, "list": [1.0]}
    return pa.RecordBatch.from_pylist([row], SCHEMA)


def test_they_cover_every_column_but_lists() -> None:
    statistics = FileStatistics(SCHEMA)
    statistics.add(batch("b", 1, 0))
    statistics.add(batch("a", 5, 9))
    assert json.loads(statistics.to_json()) == {
        "numRecords": 2,
        "minValues": {"text": "a", "number": 1, "at": "2026-01-31T12:00:00.123456Z", "on": "2026-01-31"},
        "maxValues": {"text": "b", "number": 5, "at": "2026-01-31T12:00:09.123456Z", "on": "2026-01-31"},
        "nullCount": {"text": 0, "number": 0, "at": 0, "on": 0, "none": 2},
    }


def test_bounds_of_long_texts_are_cut_outwards() -> None:
    text = "ä" * 1000
    statistics = FileStatistics(SCHEMA)
    statistics.add(batch(text, 1, 0))
    found = json.loads(statistics.to_json())
    assert found["minValues"]["text"] <= text <= found["maxValues"]["text"]
    assert len(found["maxValues"]["text"]) < 100
