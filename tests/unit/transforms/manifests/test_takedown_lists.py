"""Lists of images that are to be taken down: any manifest, every URI once, in the form that the store knows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from schemas.errors import InvalidInput
from transforms.manifests import listed_uris

LISTED = ["/photos/a b#.jpg", "s3a://bucket/c.jpg", "d.jpg", "/photos/a b#.jpg"]


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_uris_are_canonical_and_unique(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"gone.{kind}"
    table = pa.table({"uri": LISTED, "ticket": ["17"] * 4})
    if kind == "txt":
        path.write_text("\n".join(LISTED) + "\n")
    elif kind == "csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    expected = ["file:///photos/a b#.jpg", "s3://bucket/c.jpg", f"file://{tmp_path}/d.jpg"]
    assert listed_uris(str(path)).to_pylist() == expected


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_of_near_duplicates_those_that_are_kept_are_not_listed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"duplicates.{kind}"
    table = pa.table({"uri": ["/a.jpg", "/b.jpg", "/c.jpg"], "group": [0, 0, 0], "keep": [True, False, False]})
    (pa_csv.write_csv if kind == "csv" else pq.write_table)(table, path)
    assert listed_uris(str(path)).to_pylist() == ["file:///b.jpg", "file:///c.jpg"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("gone.json", "", "takes a .txt, .csv"),
        ("gone.txt", None, "There is no list at"),
        ("gone.txt", "\n", "names no image"),
        ("gone.csv", "url\na\n", "has no column 'uri'"),
        ("gone.csv", "uri,x\n,1\n", "has 1 row without a uri"),
        ("gone.parquet", "no parquet", "cannot be read"),
    ],
)
def test_lists_that_are_none(name: str, text: str | None, complaint: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=complaint):
        listed_uris(str(tmp_path / name))


def test_a_list_of_another_encoding_is_to_be_saved_as_utf_8(tmp_path: Path) -> None:
    (tmp_path / "gone.csv").write_bytes("uri\na.jpg\nKöln.jpg\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"gone\.csv is not UTF-8; save it as UTF-8\.$"):
        listed_uris(str(tmp_path / "gone.csv"))
