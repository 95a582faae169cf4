"""Labels and splits from folders and manifests: one spelling, no blanks, and no label where there is none."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import InvalidInput
from schemas.images import REF_SCHEMA
from transforms.sources import (
    IgnoredFiles,
    ListingRules,
    annotated_columns,
    find_sources,
    list_source,
    parent_annotations,
)

FOLDERS = [
    ("file:///photos/cats/1.jpg", "cats", None),
    ("file:///photos/train/cats/1.jpg", "cats", "train"),
    ("file:///photos/Training/cats/1.jpg", "cats", "train"),
    ("file:///photos/val/cats/1.jpg", "cats", "validation"),
    ("file:///photos/VALID/cats/1.jpg", "cats", "validation"),
    ("file:///photos/dev/cats/1.jpg", "cats", "validation"),
    ("file:///photos/validation/cats/1.jpg", "cats", "validation"),
    ("file:///photos/testing/cats/1.jpg", "cats", "test"),
    ("file:///photos/Eval/cats/1.jpg", "cats", "test"),
    ("file:///photos/evaluation/cats/1.jpg", "cats", "test"),
    ("file:///photos/test/1.jpg", None, "test"),
    ("file:///photos/val/1.jpg", None, "validation"),
    # A class may be called like a split.
    ("file:///photos/train/test/1.jpg", "test", "train"),
    ("file:///photos/ cats /1.jpg", "cats", None),
    ("file:///photos/cats/.thumbnails/1.jpg", None, None),
    ("file:///1.jpg", None, None),
    # Neither a bucket nor a host is a folder.
    ("s3://cats/1.jpg", None, None),
    ("s3://bucket/cats/1.jpg", "cats", None),
    ("s3://bucket/train/cats?/1.jpg", "cats?", "train"),
    ("https://host/1.jpg", None, None),
    ("https://host/train/my%20cats/1.jpg?sig=a/b&path=/c/d", "my cats", "train"),
    ("https://host/cats/1.jpg#x/y/z", "cats", None),
    # Folders of an archive's member, and never the archive's own.
    ("zip://train/cats/0.jpg::file:///photos/test/clean.zip", "cats", "train"),
    ("zip://cats/0.jpg::https://host/train/a.zip?sig=a/b", "cats", None),
    ("zip://0.jpg::file:///photos/cats/clean.zip", None, None),
]


def test_what_the_names_of_folders_say() -> None:
    batch = pa.RecordBatch.from_pylist([{"uri": uri} for uri, _, _ in FOLDERS], REF_SCHEMA)
    rows = parent_annotations(batch).to_pylist()
    assert [(row["uri"], row["label"], row["split"]) for row in rows] == FOLDERS


def test_what_the_input_says_itself_stays() -> None:
    row = {"uri": "file:///photos/train/cats/1.jpg", "label": "dog", "split": "test"}
    batch = parent_annotations(pa.RecordBatch.from_pylist([row, {**row, "label": None}], REF_SCHEMA))
    assert [(each["label"], each["split"]) for each in batch.to_pylist()] == [("dog", "test"), ("cats", "test")]


def listed(path: Path) -> list[dict[str, object]]:
    sources = find_sources([str(path)])
    rules = ListingRules(stat_manifests=False)
    return [row for batch in list_source(sources[0], rules, IgnoredFiles()) for row in batch.to_pylist()]


def test_cells_are_read_without_blanks_and_splits_in_one_spelling(tmp_path: Path) -> None:
    lines = ["a.jpg, cat ,Training", 'b.jpg,"",VAL', "c.jpg,,", "d.jpg,007, eval ", "e.jpg,NA,dev", "f.jpg,  ,  "]
    (tmp_path / "m.csv").write_text("\n".join(["uri,label,split", *lines, ""]))
    assert [(row["label"], row["split"]) for row in listed(tmp_path / "m.csv")] == [
        ("cat", "train"), (None, "validation"), (None, None), ("007", "test"), ("NA", "validation"), (None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_unknown_split_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"m.{kind}"
    if kind == "csv":
        path.write_text("uri,split\na.jpg,train\nb.jpg,holdout\n")
    else:
        pq.write_table(pa.table({"uri": ["a.jpg", "b.jpg"], "split": ["train", "holdout"]}), path)
    with pytest.raises(
        InvalidInput, match=rf"m\.{kind} has the split 'holdout' for file://.*/b\.jpg; a split is train,"
    ):
        listed(path)


def test_only_columns_that_a_source_may_have_are_compared(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a.jpg\n")
    (tmp_path / "b.csv").write_text("uri,breed\na.jpg,manx\n")
    breed = (pa.field("breed", pa.string()),)
    folder, texts, manifest = (find_sources([str(tmp_path / name)]) for name in ("", "a.txt", "b.csv"))
    assert annotated_columns([*folder, *texts], ListingRules()) == []
    assert annotated_columns(folder, ListingRules(labels_from_parent=True)) == ["label", "split"]
    assert annotated_columns(manifest, ListingRules(carried=breed)) == ["breed"]
