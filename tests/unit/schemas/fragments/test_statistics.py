"""Statistics never make a reader skip a file that holds what it looks for."""

import datetime
import json
import math

import pyarrow as pa
import pytest

from schemas.fragments import TableName
from schemas.fragments.statistics import FileStatistics
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, fragment

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


@pytest.mark.parametrize(
    ("batches", "least", "greatest"),
    [
        ([[1.0, math.inf], [-math.inf]], "-Infinity", "Infinity"),
        ([[math.nan], [5.0, 2.0], [math.nan]], 2.0, 5.0),
        ([[3.0, math.nan]], 3.0, 3.0),
        ([[math.nan], [math.nan]], "NaN", "NaN"),
    ],
)
def test_bounds_of_numbers_that_json_has_not_are_written_as_spark_writes_them(
    batches: list[list[float]], least: object, greatest: object
) -> None:
    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON.")

    statistics = FileStatistics(pa.schema([("x", pa.float64())]))
    for values in batches:
        statistics.add(pa.RecordBatch.from_pydict({"x": values}))
    found = json.loads(statistics.to_json(), parse_constant=refused)
    assert (found["minValues"]["x"], found["maxValues"]["x"]) == (least, greatest)


def test_a_column_with_an_infinite_number_takes_no_statistics_from_the_others(tmp_path: object) -> None:
    store = FeatureStore.create(f"{tmp_path}/store", SPEC)
    store.carry([pa.field("x", pa.float64())])
    for uri, number in (("a", math.inf), ("b", 1.0)):
        store.commit_fragments(TableName.FEATURES, uri, [fragment(store, {uri: 1.0}, x=number)])
    files = pa.table(store.features().get_add_actions(flatten=True)).sort_by("min.uri")
    assert files.select(["num_records", "min.uri", "max.x"]).to_pydict() == {
        "num_records": [1, 1], "min.uri": ["a", "b"], "max.x": [math.inf, 1.0],
    }  # fmt: skip
    assert store.features().to_pyarrow_table(columns=["uri"], filters=[("x", ">", 5.0)])["uri"].to_pylist() == ["a"]
