"""Manifests of every form give the same rows; what cannot be read is said in one sentence."""

import bz2
import datetime
import decimal
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import InvalidInput
from transforms.manifests import ManifestOptions, NamedFormat, named_format, open_manifest
from transforms.manifests.manifest import Manifest

URIS = [f"s3://b/{number}.jpg" for number in range(5)]
LABELS = ["cat", "dog", None, "bird, or not", 'a "quoted" one']


def opened(path: Path, **options: Any) -> Manifest:
    form = named_format(str(path))
    assert form
    return open_manifest(f"file://{path}", form, ManifestOptions(**options))


def table(path: Path, **options: Any) -> pa.Table:
    manifest = opened(path, **options)
    batches = [rows for section in manifest.sections() for rows in manifest.rows(section)]
    return pa.Table.from_batches(batches, pa.schema([(column.name, column.type) for column in manifest.columns]))


def delimited(delimiter: str) -> str:
    def cell(value: str | None) -> str:
        text = (value or "").replace('"', '""')
        return f'"{text}"' if any(sign in text for sign in ',;|\t"') else text

    lines = [("uri", "label"), *zip(URIS, LABELS, strict=True)]
    return "".join(delimiter.join(map(cell, line)) + "\n" for line in lines)


def json_lines() -> str:
    rows = [{"uri": uri, "label": label} for uri, label in zip(URIS, LABELS, strict=True)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-32"])
def test_delimiter_and_encoding_are_found_out(delimiter: str, encoding: str, tmp_path: Path) -> None:
    text = delimited(delimiter).replace("cat", "chat é")
    mark, codec = (b"\xff\xfe", "utf-16-le") if encoding == "utf-16-le-bom" else (b"", encoding)
    (tmp_path / "m.csv").write_bytes(mark + text.encode(codec))
    found = table(tmp_path / "m.csv")
    assert found["uri"].to_pylist() == URIS
    assert found["label"].to_pylist() == ["chat é", *LABELS[1:]]


def test_a_line_that_tells_the_delimiter_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("sep=;\r\nuri;label\r\na.jpg;cat, or dog\r\n")
    assert table(tmp_path / "m.csv").to_pydict() == {"uri": ["a.jpg"], "label": ["cat, or dog"]}
    (tmp_path / "m.csv").write_text("sep=;\nuri;label\na.jpg;cat\nb.jpg\n")
    with pytest.raises(InvalidInput, match=r"^Line 4 of the manifest .* has 1 cells and its header has 2"):
        table(tmp_path / "m.csv")


def test_labels_that_are_numbers_or_lists_are_the_same_however_they_are_mixed(tmp_path: Path) -> None:
    """Whole numbers become others where one is missing, and single labels stand beside lists."""
    lines = ('{"uri": "a", "label": 1}', '{"uri": "b", "label": 1.0}', '{"uri": "c", "label": true}')
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    assert table(tmp_path / "m.jsonl")["label"].to_pylist() == ["1", "1", "true"]
    rows = ({"uri": "a", "label": ["cat", 2]}, {"uri": "b", "label": "dog"}, {"uri": "c"}, {"uri": "d", "label": 7})
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert table(tmp_path / "m.jsonl")["labels"].to_pylist() == [["cat", "2"], ["dog"], None, ["7"]]


def test_a_text_with_a_header_is_a_table(tmp_path: Path) -> None:
    """As a spreadsheet writes its "Unicode text"; a list whose first line has no such cell stays a list."""
    text = "uri\tlabel\tprice\r\na.jpg\tcat\t0,5\r\nb.jpg\t\t1,25\r\n"
    (tmp_path / "sheet.txt").write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    found = table(tmp_path / "sheet.txt")
    assert found.to_pydict() == {"uri": ["a.jpg", "b.jpg"], "label": ["cat", None], "price": ["0,5", "1,25"]}
    (tmp_path / "ids.txt").write_text("id;label\n7;cat\n")
    assert table(tmp_path / "ids.txt", uri_column="id").to_pydict() == {"uri": ["7"], "label": ["cat"]}
    (tmp_path / "one.txt").write_text("uri\na.jpg\n")
    assert table(tmp_path / "one.txt").to_pydict() == {"uri": ["a.jpg"]}
    (tmp_path / "list.txt").write_text("a,b.jpg\nuri\n")
    assert table(tmp_path / "list.txt").to_pydict() == {"uri": ["a,b.jpg", "uri"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_they_like(end: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(delimited(";").replace("\n", end), newline="")
    assert table(tmp_path / "m.csv")["label"].to_pylist() == LABELS


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.jsonl", "m.ndjson", "m.txt", "m.parquet", "m.parq"])
@pytest.mark.parametrize("compression", ["", ".gz", ".zst", ".bz2"])
def test_every_form_can_be_compressed(name: str, compression: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole-{name}"
    if name.endswith("sv"):
        whole.write_text(delimited("\t" if name == "m.tsv" else ","))
    elif name.endswith(("jsonl", "ndjson")):
        whole.write_text(json_lines())
    elif name.endswith("txt"):
        whole.write_text("\n".join(URIS))
    else:
        pq.write_table(pa.table({"uri": URIS, "label": LABELS}), whole, row_group_size=2)
    compress = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": pa.Codec("zstd").compress}[compression]
    path = tmp_path / f"{name}{compression}"
    path.write_bytes(bytes(compress(whole.read_bytes())))
    found = table(path)
    assert found["uri"].to_pylist() == URIS
    if name != "m.txt":
        assert found["label"].to_pylist() == LABELS


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://host/m.csv?sig=a/b.zip&x=1#there", ("csv", None)),
        ("s3://bucket/a.b/m.JSONL.GZ", ("json lines", "gzip")),
        ("m.csv.zst", ("csv", "zstd")),
        ("/a/m.csv?x", None),
        ("/a/photo.jpg", None),
        ("/a/photo.gz", None),
        ("/a.csv/list", None),
        ("/a/m.parquet/", ("parquet", None)),
    ],
)
def test_the_name_says_the_format(uri: str, expected: tuple[str, str | None] | None) -> None:
    found = named_format(uri)
    assert (found and (str(found.format), found.compression)) == expected


def test_a_cell_of_five_megabytes_is_read(tmp_path: Path) -> None:
    long = "x" * 5_000_000
    (tmp_path / "m.csv").write_text(f"uri,note\na.jpg,{long}\nb.jpg,short\n")
    (tmp_path / "m.jsonl").write_text(f'{{"uri": "a.jpg", "note": "{long}"}}\n{{"uri": "b.jpg", "note": "short"}}\n')
    pq.write_table(pa.table({"uri": ["a.jpg", "b.jpg"], "note": [long, "short"]}), tmp_path / "m.parquet")
    for name in ("m.csv", "m.jsonl", "m.parquet"):
        assert table(tmp_path / name)["note"].to_pylist() == [long, "short"]


def test_values_of_json_lines_have_the_type_of_the_whole_file(tmp_path: Path) -> None:
    rows = [
        {"uri": "a", "n": 1, "x": 1, "mixed": 1, "big": 1, "tags": [], "none": None, "label": 7, "ok": True},
        {"uri": "b", "n": None, "x": 2.5, "mixed": "one", "big": 2**64, "tags": ["t", "u"], "late": "here"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    found = table(tmp_path / "m.jsonl")
    assert found.to_pylist() == [
        {"uri": "a", "n": 1, "x": 1.0, "mixed": "1", "big": "1", "tags": [], "label": "7", "ok": True, "late": None},
        {"uri": "b", "n": None, "x": 2.5, "mixed": "one", "big": str(2**64), "tags": ["t", "u"], "label": None,
         "ok": None, "late": "here"},
    ]  # fmt: skip


def test_types_of_parquet_are_kept_or_widened(tmp_path: Path) -> None:
    utc = datetime.UTC
    noon = datetime.datetime(2026, 1, 31, 12, 0, 0, 123456, utc)
    columns = {
        "uri": pa.array([b"a.jpg"], pa.binary()),
        "label": pa.array(["cat"], pa.string_view()),
        "u64": pa.array([2**64 - 1], pa.uint64()),
        "u8": pa.array([255], pa.uint8()),
        "half": pa.array([0.5], pa.float16()),
        "ns": pa.array([1_769_860_800_123_456_789], pa.timestamp("ns")),
        "zoned": pa.array([noon], pa.timestamp("ms", "Europe/Berlin")),
        "day": pa.array([datetime.date(2026, 1, 31)], pa.date64()),
        "time": pa.array([datetime.time(12, 30)], pa.time64("us")),
        "price": pa.array([decimal.Decimal("1.10")], pa.decimal128(10, 2)),
        "fixed": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
        "large": pa.array([["x"]], pa.large_list(pa.large_string())),
        "kind": pa.array(["boxer"]).dictionary_encode(),
        "nothing": pa.nulls(1),
        "empty": pa.array([[]], pa.list_(pa.null())),
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    (row,) = table(tmp_path / "m.parquet").to_pylist()
    assert row == {
        "uri": "a.jpg", "label": "cat", "u64": str(2**64 - 1), "u8": 255, "half": 0.5,
        "ns": datetime.datetime(2026, 1, 31, 12, 0, 0, 123456, utc),
        "zoned": datetime.datetime(2026, 1, 31, 12, 0, 0, 123000, utc),
        "day": datetime.date(2026, 1, 31), "time": "12:30:00", "price": "1.10", "fixed": [1.0, 2.0], "large": ["x"],
        "kind": "boxer",
    }  # fmt: skip


def test_what_a_table_cannot_hold_is_named_at_once(tmp_path: Path) -> None:
    columns = {"uri": ["a.jpg"], "s": [{"x": 1}], "b": [b"x"], "l": [[{"y": 1}]], "good": [1]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    with pytest.raises(InvalidInput, match=r"'s' \(struct.*'b' \(binary\), 'l' \(list<.*--carry=none"):
        opened(tmp_path / "m.parquet")
    assert table(tmp_path / "m.parquet", carry=("good",)).to_pylist() == [{"uri": "a.jpg", "good": 1}]


def test_a_column_that_another_replaces_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,label,name\na.jpg,3,cat\n")
    assert table(tmp_path / "m.csv", label_column="name").to_pylist() == [{"uri": "a.jpg", "label": "cat"}]


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "pandas.csv").write_text(",uri,label\n0,a.jpg,cat\n")
    assert table(tmp_path / "pandas.csv").to_pylist() == [{"uri": "a.jpg", "label": "cat"}]


@pytest.mark.parametrize("text", ["uri\n", "uri,label", "uri\n\n\n", '"uri"\n'])
def test_a_header_alone_has_no_rows(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(text)
    assert table(tmp_path / "m.csv").num_rows == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('uri,note\na.jpg,"two\nlines"\nb.jpg,1,2\n', "Line 4 of the manifest .* has 3 cells and its header has 2"),
        ("uri;note\na.jpg\n", "Line 2 of the manifest .* those with a ';' in them"),
    ],
)
def test_a_ragged_row_is_named_by_its_line(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InvalidInput, match=sentence):
        table(tmp_path / "m.csv")


def test_a_ragged_row_far_behind_the_first_block_is_found(tmp_path: Path) -> None:
    line = f"s3://bucket/{'x' * 200}.jpg,cat\n"
    count = 2**24 // len(line) + 10
    (tmp_path / "m.csv").write_text("uri,label\n" + line * count + "short\n")
    with pytest.raises(InvalidInput, match=f"Line {count + 2} of the manifest"):
        table(tmp_path / "m.csv")


def test_a_list_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("é.jpg\r\n\nb.jpg".encode("utf-16"))
    assert table(tmp_path / "list.txt")["uri"].to_pylist() == ["é.jpg", "b.jpg"]
    (tmp_path / "list.txt").write_bytes("é.jpg\nb.jpg".encode("cp1252"))
    assert table(tmp_path / "list.txt", encoding="cp1252")["uri"].to_pylist() == ["é.jpg", "b.jpg"]


def test_a_form_can_be_told_where_the_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.jpg\n")
    manifest = open_manifest(f"file://{tmp_path}/list", NamedFormat(*(named_format("x.txt") or ())))
    assert [rows.to_pylist() for section in manifest.sections() for rows in manifest.rows(section)] == [
        [{"uri": "a.jpg"}]
    ]
