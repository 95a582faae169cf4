"""Predictions are there once for each uri, version and classifier, the newest; whatever runs at once and upkeep do."""

import datetime
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.commits import replacement
from schemas.commits.row_keys import RowKeys
from schemas.delta import Scan, paths_of
from schemas.errors import FailureCode, StoreNotWritable
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.maintenance import compact, drop_files
from schemas.store import PREDICTIONS, FeatureStore, PredictionTables
from schemas.tables import FAILURES, file_schema
from tests.support.fragments import SPEC

NOW = datetime.datetime.now(datetime.UTC)
FAILED = FailureCode.TIMEOUT


@pytest.fixture
def tables(tmp_path: Path) -> PredictionTables:
    found = PredictionTables(f"{tmp_path}/predictions of #1")
    found.create()
    return found


def write(tables: PredictionTables, name: TableName, rows: list[dict[str, object]], run_id: str) -> Fragment:
    schema = file_schema(PREDICTIONS if name == TableName.PREDICTIONS else FAILURES)
    path = f"ds=2026-01-31/{run_id}-{uuid.uuid4()}.parquet"
    with FragmentWriter(f"{tables.uri}/{name}", name, path, schema) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema))
    return writer.fragment()


def predicted(
    tables: PredictionTables, run_id: str, uris: Iterable[str], model_id: str = "m", version: str = "1"
) -> Fragment:
    """Writes predictions of images."""
    rows: list[dict[str, object]] = [
        {
            "uri": uri, "version": version, "label": "cat", "score": 1.0, "labels": ["cat"], "scores": [1.0],
            "true_labels": None, "split": None, "model_id": model_id, "run_id": run_id, "predicted_at": NOW,
        }
        for uri in uris
    ]  # fmt: skip
    return write(tables, TableName.PREDICTIONS, rows, run_id)


def failed(tables: PredictionTables, run_id: str, uris: Iterable[str], version: str = "1") -> Fragment:
    """Writes failures of images."""
    rows: list[dict[str, object]] = [
        {
            "uri": uri, "version": version, "stage": FAILED.stage, "code": str(FAILED), "message": "No answer.",
            "permanent": FAILED.permanent, "run_id": run_id, "failed_at": NOW,
        }
        for uri in uris
    ]  # fmt: skip
    return write(tables, TableName.FAILURES, rows, run_id)


def commit(tables: PredictionTables, run_id: str, *uris: str, model_id: str = "m", version: str = "1") -> None:
    tables.commit(run_id, model_id, [predicted(tables, run_id, uris, model_id, version)])


def contents(tables: PredictionTables) -> dict[tuple[str, str, str], str]:
    """Returns the runs of the predictions by their keys; each key is there once."""
    rows = Scan(tables.table(TableName.PREDICTIONS)).to_arrow().to_pylist()
    found = {(row["uri"], row["version"], row["model_id"]): row["run_id"] for row in rows}
    assert len(found) == len(rows)
    return found


def failures(tables: PredictionTables) -> dict[tuple[str, str], str]:
    rows = Scan(tables.table(TableName.FAILURES)).to_arrow().to_pylist()
    found = {(row["uri"], row["version"]): row["run_id"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_the_newest_run_wins(tables: PredictionTables) -> None:
    commit(tables, "r1", "a", "b", "c")
    commit(tables, "r2", "b", "c", "d")
    assert contents(tables) == {("a", "1", "m"): "r1"} | {(uri, "1", "m"): "r2" for uri in "bcd"}
    assert [tables.replaced_by(run_id) for run_id in ("r1", "r2", "other")] == [0, 2, 0]


def test_other_classifiers_and_other_versions_stay(tables: PredictionTables) -> None:
    commit(tables, "r1", "a", "b")
    commit(tables, "r2", "a", model_id="other")
    commit(tables, "r3", "a", version="2")
    assert contents(tables) == {
        ("a", "1", "m"): "r1", ("b", "1", "m"): "r1", ("a", "1", "other"): "r2", ("a", "2", "m"): "r3"
    }  # fmt: skip
    compact(tables.uri, TableName.PREDICTIONS)
    commit(tables, "r4", "a")
    assert contents(tables) == {
        ("a", "1", "m"): "r4", ("b", "1", "m"): "r1", ("a", "1", "other"): "r2", ("a", "2", "m"): "r3"
    }  # fmt: skip


def test_a_run_commits_once(tables: PredictionTables) -> None:
    commit(tables, "r1", "a")
    commit(tables, "r1", "a", "b")
    tables.commit("r1", "m", [failed(tables, "r1", ["c"])])
    assert contents(tables) == {("a", "1", "m"): "r1"}
    assert failures(tables) == {}


def test_rows_that_were_there_twice_leave_together(tables: PredictionTables) -> None:
    """As in tables that were written before rows were replaced."""
    for run_id in ("r1", "r2"):
        replacement.replace_rows(tables.uri, TableName.PREDICTIONS, run_id, [predicted(tables, run_id, "ab")], [])
    assert Scan(tables.table(TableName.PREDICTIONS)).count() == 4
    commit(tables, "r3", "a")
    rows = Scan(tables.table(TableName.PREDICTIONS), ["uri", "run_id"]).to_arrow().to_pylist()
    assert sorted((row["uri"], row["run_id"]) for row in rows) == [("a", "r3"), ("b", "r1"), ("b", "r2")]
    commit(tables, "r4", "a", "b")
    assert set(contents(tables).values()) == {"r4"}


def test_failures_are_there_once_and_leave_when_the_image_is_predicted(tables: PredictionTables) -> None:
    tables.commit("r1", "m", [failed(tables, "r1", "ab"), predicted(tables, "r1", "c")])
    tables.commit("r2", "m", [failed(tables, "r2", "b"), predicted(tables, "r2", "a")])
    assert failures(tables) == {("b", "1"): "r2"}
    assert contents(tables) == {("a", "1", "m"): "r2", ("c", "1", "m"): "r1"}
    tables.commit("r3", "m", [failed(tables, "r3", "a")])
    assert contents(tables)["a", "1", "m"] == "r2", "What was said of an image stays if it cannot be read later."


def test_files_of_failures_are_taken_out(tables: PredictionTables) -> None:
    tables.commit("r1", "m", [failed(tables, "r1", "a")])
    assert drop_files(tables.uri, TableName.FAILURES, paths_of(tables.table(TableName.FAILURES)))
    assert failures(tables) == {}


@pytest.mark.parametrize("other", ["a run", "a compaction"])
def test_what_others_commit_meanwhile_is_looked_at(
    other: str, tables: PredictionTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tables, "r1", "a", "b")
    commit(tables, "r2", "c")
    meanwhile: dict[str, Callable[[], object]] = {
        "a run": lambda: commit(tables, "r3", "d"),
        "a compaction": lambda: compact(tables.uri, TableName.PREDICTIONS),
    }
    write_actions = replacement.write_actions

    def overtaken(*given: object) -> None:
        monkeypatch.setattr(replacement, "write_actions", write_actions)
        meanwhile[other]()
        write_actions(*given)  # type: ignore[arg-type]

    fragment = predicted(tables, "r4", "bcd")
    monkeypatch.setattr(replacement, "write_actions", overtaken)
    tables.commit("r4", "m", [fragment])
    assert contents(tables) == {("a", "1", "m"): "r1"} | {(uri, "1", "m"): "r4" for uri in "bcd"}


def test_only_files_that_may_hold_replaced_rows_are_read(
    tables: PredictionTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tables, "r1", "a", "b")
    commit(tables, "r2", "x", "y")
    commit(tables, "r3", "a", "x", model_id="other")
    read = replacement.read_columns
    files = []

    def noted(file_uri: str, *given: object) -> object:
        files.append(file_uri.rpartition("/")[2][:2])
        return read(file_uri, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(replacement, "read_columns", noted)
    commit(tables, "r4", "p", "q")
    assert files == []
    commit(tables, "r5", "w", "z")
    assert sorted(files) == ["r2", "r5"]


def test_a_feature_store_takes_no_predictions(tmp_path: Path) -> None:
    FeatureStore.create(f"{tmp_path}/store", SPEC)
    with pytest.raises(StoreNotWritable, match="is a feature store; predictions need a folder of their own"):
        PredictionTables(f"{tmp_path}/store").create()
    assert not (tmp_path / "store" / "predictions").exists()


def batch(uris: list[str], versions: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"uri": uris, "version": versions})


def test_keys_are_pairs() -> None:
    keys = RowKeys([batch(["a", "b"], ["1", "2"]), batch([], []), batch(["a"], ["2"])])
    asked = batch(["a", "a", "b", "b", "a1", ""], ["1", "2", "2", "1", "", "a1"])
    assert keys.have(asked).tolist() == [True, True, True, False, False, False]
    assert not RowKeys([]).have(asked).any()


def test_of_many_keys_each_is_found() -> None:
    uris = [f"file:///photos/{number}.jpg" for number in range(20_000)]
    keys = RowKeys.joined(RowKeys([batch(uris[start:20_000:8], ["1"] * 2_500)]) for start in (0, 2, 4, 6))
    np.testing.assert_array_equal(keys.have(batch(uris, ["1"] * 20_000)), np.arange(20_000) % 2 == 0)
