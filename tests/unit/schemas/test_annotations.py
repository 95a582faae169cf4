"""What the input says of an image takes the place of what was said before; what it does not say stays."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from schemas.annotations import annotated, completed, differ, given_text, hashed
from schemas.images import GIVEN, REF_SCHEMA, ref_schema

BREED = pa.field("breed", pa.string())
TAGS = pa.field("tags", pa.list_(pa.field("element", pa.string())))
ROWS = pa.schema([("uri", pa.string()), ("label", pa.string()), ("split", pa.string()), BREED, TAGS])


def refs(*rows: dict[str, object], given: tuple[str, ...] | None = None) -> pa.RecordBatch:
    text = None if given is None else given_text(given)
    return pa.RecordBatch.from_pylist([{GIVEN: text, **row} for row in rows], ref_schema(pa.schema([BREED, TAGS])))


def rows(*values: dict[str, object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(values), ROWS)


KNOWN = {"uri": "a", "label": "cat", "split": "train", "breed": "manx", "tags": ["x"]}


@pytest.mark.parametrize(
    ("said", "given", "left"),
    [
        ({}, None, KNOWN),
        ({}, ("uri",), KNOWN),
        ({"label": "dog"}, None, {**KNOWN, "label": "dog"}),
        ({"label": "dog"}, ("uri", "label", "split"), {**KNOWN, "label": "dog", "split": None}),
        ({}, ("uri", "label"), {**KNOWN, "label": None}),
        ({"tags": ["y", "z"], "breed": None}, ("tags", "breed"), {**KNOWN, "tags": ["y", "z"], "breed": None}),
    ],
)
def test_a_column_that_the_input_has_says_something_with_every_cell(
    said: dict[str, object], given: tuple[str, ...] | None, left: dict[str, object]
) -> None:
    known, other = rows(KNOWN, {**KNOWN, "uri": "b"}), {**KNOWN, "uri": "b"}
    updated = annotated(known, refs({"uri": "z", "label": "no"}, {"uri": "a", **said}, given=given))
    assert updated.to_pylist() == [left, other]
    assert updated.schema == known.schema
    assert differ(known, updated).tolist() == [left != KNOWN, False]
    # The same the other way round, for an image whose row is superseded.
    (whole,) = completed(refs({"uri": "a", **said}, given=given), known).select(ROWS.names).to_pylist()
    assert whole == left


def test_a_column_that_only_the_table_has_is_added() -> None:
    batch = pa.RecordBatch.from_pylist([{"uri": "a"}, {"uri": "new"}], REF_SCHEMA)
    assert completed(batch, rows(KNOWN)).column("breed").to_pylist() == ["manx", None]


NOW = datetime.datetime.now(datetime.UTC)
VALUES = [
    (["a", None, "b", "a", ""], pa.string()),
    ([1, None, 2, 1, 2**62 + 1], pa.int64()),
    ([1.5, None, 2.0, 1.5, 0.0], pa.float64()),
    ([True, None, False, True, False], pa.bool_()),
    ([datetime.date(2026, 1, 1), None, datetime.date(2026, 1, 2), datetime.date(2026, 1, 1)], pa.date32()),
    ([NOW, None, NOW + datetime.timedelta(1), NOW], pa.timestamp("us", tz="UTC")),
    ([["a", "b"], None, ["b", "a"], ["a", "b"], [], ["a"], [None]], pa.list_(pa.string())),
    ([[[1], []], None, [[], [1]], [[1], []], []], pa.list_(pa.list_(pa.int64()))),
    ([decimal.Decimal("1.50"), None, decimal.Decimal("2.00"), decimal.Decimal("1.50")], pa.decimal128(9, 2)),
    ([{"x": 1}, None, {"x": 2}, {"x": 1}], pa.struct([("x", pa.int64())])),
]


@pytest.mark.parametrize(
    ("values", "kind"), VALUES, ids=lambda value: str(value) if isinstance(value, pa.DataType) else ""
)
def test_equal_values_have_equal_hashes_and_others_others(values: list[object], kind: pa.DataType) -> None:
    hashes = hashed(pa.array(values, kind))
    assert hashes.dtype == np.uint64
    assert len(set(hashes.tolist())) == len({str(value) for value in values})
    assert hashes[0] == hashes[3]
    # Neither the rows around it nor nulls among them have a say.
    for row, value in enumerate(values):
        assert hashed(pa.array([value], kind)).tolist() == [hashes[row]]
    assert hashed(pa.array(values, kind).slice(1, 3)).tolist() == hashes[1:4].tolist()


def test_a_hash_is_the_same_in_every_process_and_for_every_encoding_of_a_text() -> None:
    texts = pa.array(["cat", None, "dog"])
    assert hashed(texts.dictionary_encode()).tolist() == hashed(texts).tolist()
    assert hashed(texts.cast(pa.large_string())).tolist() == hashed(texts).tolist()
    assert hashed(texts).tolist() == [17611792558141569343, 11400714819323198485, 17185010549780912462]
