"""What a manifest carries along is without secrets: texts, and lists of them, whatever lists they are in."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.images import ref_schema
from transforms.folders import IgnoredFiles
from transforms.sources import ListingRules, carried_columns, find_sources, list_source
from transforms.sources.signed_uris import without_signatures

MARK = "PLANTED"
SIGNED = f"https://host/a.jpg?w=1&X-Amz-Signature={MARK}"
BARE = "https://host/a.jpg?w=1"
WITH_PASSWORD = f"ftp://user:{MARK}@host/b.jpg"

# By the name of a column: its values, and what becomes of them.
COLUMNS: dict[str, tuple[list[object], list[object]]] = {
    "text": ([SIGNED, None, "x"], [BARE, None, "x"]),
    "list": ([[SIGNED, "x", None], None, [WITH_PASSWORD]], [[BARE, "x", None], None, ["ftp://host/b.jpg"]]),
    "labels": ([["cat", SIGNED], [], None], [["cat", BARE], [], None]),
    "lists": ([[["x"], [], None, [SIGNED]], None, [None]], [[["x"], [], None, [BARE]], None, [None]]),
    "late": ([["x"], ["y"], ["z", SIGNED, "z"]], [["x"], ["y"], ["z", BARE, "z"]]),
    "numbers": ([[1, 2], None, []], [[1, 2], None, []]),
}


@pytest.mark.parametrize("fixed", [False, True])
def test_lists_of_texts_are_without_secrets(fixed: bool, tmp_path: Path) -> None:
    table = pa.table({"uri": ["a.jpg", "b.jpg", "c.jpg"], **{name: given for name, (given, _) in COLUMNS.items()}})
    expected = {name: cleaned for name, (_, cleaned) in COLUMNS.items()}
    if fixed:
        table = table.append_column("pair", pa.array([[SIGNED, "x"], ["y", None]] * 2, pa.list_(pa.string(), 2))[:3])
        expected["pair"] = [[BARE, "x"], ["y", None], [BARE, "x"]]
    pq.write_table(table, tmp_path / "m.parquet")
    sources = find_sources([f"{tmp_path}/m.parquet"])
    carried = carried_columns(sources, None)
    rules = ListingRules(stat_manifests=False, carried=carried)
    (refs,) = [batch for source in sources for batch in list_source(source, rules, IgnoredFiles())]
    assert refs.schema.equals(ref_schema(pa.schema(carried)))
    assert {name: refs.column(name).to_pylist() for name in expected} == expected


def test_columns_without_secrets_are_not_touched() -> None:
    carried = pa.schema([pa.field("list", pa.list_(pa.field("element", pa.string()))), pa.field("text", pa.string())])
    schema = ref_schema(carried)
    rows = [{"uri": f"s3://bucket/{number}.jpg", "list": ["x", None], "text": f"a=b?{number}"} for number in range(9)]
    refs = pa.RecordBatch.from_pylist(rows, schema)
    assert without_signatures(refs) is refs
    part = pa.RecordBatch.from_pylist([*rows, {"uri": "s3://bucket/b", "list": [SIGNED]}], schema).slice(8)
    assert without_signatures(part).column("list").to_pylist() == [["x", None], [BARE]]
