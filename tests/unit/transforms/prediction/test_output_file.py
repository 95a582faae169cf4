"""Predictions as one file: a column for each class in CSV, the table's own rows in Parquet, whole or not at all."""

import csv
import datetime
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.classifiers import LabelKind, LabelSet
from schemas.store import PREDICTIONS
from transforms.prediction import OutputFormat, write_output_file

LABELS = LabelSet(LabelKind.MULTI_LABEL, ("=cmd", "b, c"))


def batch() -> pa.RecordBatch:
    now = datetime.datetime(2026, 11, 8, 12, tzinfo=datetime.UTC)
    common = {"version": "1", "model_id": "m", "run_id": "r", "predicted_at": now, "ds": now.date()}
    first = {"uri": "file:///a.jpg", "label": "=cmd", "score": 0.75, "labels": ["=cmd", "b, c"], "scores": [0.75, 0.5]}
    second = {"uri": "file:///b.jpg", "label": "b, c", "score": 0.25, "labels": [], "scores": [0.125, 0.25]}
    known = ({"true_labels": ["b, c"], "split": "test"}, {"true_labels": None, "split": None})
    rows = [{**common, **row, **more} for row, more in zip((first, second), known, strict=True)]
    return pa.RecordBatch.from_pylist(rows, PREDICTIONS)


def test_a_csv_has_a_column_for_each_class_and_no_formula(tmp_path: Path) -> None:
    write_output_file(f"{tmp_path}/new/predictions.csv", OutputFormat.CSV, [batch(), batch()], LABELS)
    with (tmp_path / "new" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert [row["uri"] for row in rows[:2]] == ["file:///a.jpg", "file:///b.jpg"]
    assert (rows[0]["score_=cmd"], rows[0]["score_b, c"]) == ("0.75", "0.5")
    assert (rows[0]["label"], rows[0]["labels"], rows[0]["true_labels"]) == ("'=cmd", "'=cmd|b, c", "b, c")
    assert (rows[1]["labels"], rows[1]["true_labels"], rows[1]["split"], rows[1]["ds"]) == ("", "", "", "2026-11-08")


def test_a_parquet_file_has_the_rows_of_the_table(tmp_path: Path) -> None:
    shuffled = batch().select(PREDICTIONS.names[::-1])
    write_output_file(f"{tmp_path}/predictions.parquet", OutputFormat.PARQUET, [shuffled], LABELS)
    assert pq.read_table(tmp_path / "predictions.parquet").to_batches() == [batch()]


@pytest.mark.parametrize("folder", ["local", "memory://predicted"])
def test_a_file_that_is_not_finished_replaces_none(folder: str, tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batch()
        raise OSError("No space left")

    uri = f"{folder if '://' in folder else tmp_path}/predictions.csv"
    write_output_file(uri, OutputFormat.CSV, [batch(), batch()], LABELS)
    before = fsspec.open(uri).open().read()
    assert before.count(b"\n") == 5
    with pytest.raises(OSError, match="No space left"):
        write_output_file(uri, OutputFormat.CSV, broken(), LABELS)
    assert fsspec.open(uri).open().read() == before
    assert [path.name for path in tmp_path.iterdir()] in (["predictions.csv"], [])
