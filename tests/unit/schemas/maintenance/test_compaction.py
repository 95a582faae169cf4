"""Compaction: fewer files, the same rows to the byte, whoever commits meanwhile."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from schemas.commits import commit as commit_module
from schemas.delta import files_of, paths_of
from schemas.fragments import Fragment, TableName
from schemas.maintenance import Compaction, compact, compaction, plan_compaction
from schemas.storage import parquet
from schemas.store import FeatureStore
from tests.unit.schemas.store.test_store import SPEC, commit, contents, fragment


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A store of four files with three rows each, the last two of which have a column that the others lack."""
    store = FeatureStore.create(str(tmp_path / "a store #1"), SPEC)
    for number in range(4):
        if number == 2:
            store.carry([pa.field(f"carried_{column}", pa.string()) for column in range(40)])
        commit(store, f"r{number}", fragment(store, {f"{number}-{row}": 10 * number + row for row in range(3)}))
    return store


def rows(store: FeatureStore) -> pa.Table:
    return store.scan().to_arrow().sort_by("uri")


def merged_file(store: FeatureStore) -> Path:
    (path,) = paths_of(store.features())
    return Path(store.uri.removeprefix("file://"), "features", path)


def test_small_files_become_one_and_the_rows_stay(store: FeatureStore) -> None:
    before, version = rows(store), store.features().version()
    done = compact(store.uri, TableName.FEATURES)
    assert dataclasses.replace(done, size=0) == Compaction(files=4, merged=4, written=1)
    assert rows(store).equals(before)
    assert rows(store).schema.equals(before.schema, check_metadata=True)
    assert not pq.read_schema(merged_file(store)).field("map").nullable
    assert store.features().version() == version + 1
    assert store.scan(table_version=version).to_arrow().sort_by("uri").equals(before)


def test_a_second_compaction_has_nothing_to_do(store: FeatureStore) -> None:
    compact(store.uri, TableName.FEATURES)
    version = store.features().version()
    assert compact(store.uri, TableName.FEATURES) == Compaction(files=1)
    assert store.features().version() == version


def test_floats_are_written_as_an_extraction_writes_them(store: FeatureStore) -> None:
    compact(store.uri, TableName.FEATURES)
    group = pq.ParquetFile(merged_file(store)).metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    floats = columns["pooled.list.element"]
    assert (floats.compression, floats.has_dictionary_page, floats.is_stats_set) == ("UNCOMPRESSED", False, False)
    assert (columns["uri"].compression, columns["uri"].has_dictionary_page) == ("ZSTD", True)


@pytest.mark.parametrize(("column", "value"), [("split", "train"), ("run_id", "r"), ("uri", "3-1"), ("ds", None)])
def test_filters_on_every_column_still_find_rows(store: FeatureStore, column: str, value: str | None) -> None:
    table = DeltaTable(store.uri.removeprefix("file://") + "/features")
    condition = pc.field(column).is_valid() if value is None else pc.field(column) == value
    before = table.to_pyarrow_dataset().to_table(["uri"], condition).num_rows
    assert before
    compact(store.uri, TableName.FEATURES)
    table = DeltaTable(store.uri.removeprefix("file://") + "/features")
    assert table.to_pyarrow_dataset().to_table(["uri"], condition).num_rows == before


def test_every_column_has_statistics_however_many_there_are(store: FeatureStore) -> None:
    compact(store.uri, TableName.FEATURES)
    log = merged_file(store).parents[1] / "_delta_log" / f"{store.features().version():020}.json"
    (added,) = (action["add"] for action in map(json.loads, log.read_text().splitlines()) if "add" in action)
    nulls = json.loads(added["stats"])["nullCount"]
    assert [nulls[f"carried_{column}"] for column in range(40)] == [12] * 40


def test_files_are_merged_within_partitions_up_to_the_target(tmp_path: Path) -> None:
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    for ds in ("2026-01-30", "2026-01-31"):
        for number in range(4):
            written = fragment(store, {f"{ds}-{number}": number})
            commit(store, f"{ds}-{number}", moved(store, written, ds))
    size = max(files_of(store.features())["size_bytes"].to_pylist())
    bins = plan_compaction(store.features(), target_bytes=3 * size)
    assert [len(filled.paths) for filled in bins] == [3, 3]
    assert all(len({path.partition("/")[0] for path in filled.paths}) == 1 for filled in bins)
    before = rows(store)
    compact(store.uri, TableName.FEATURES, target_bytes=3 * size)
    assert rows(store).equals(before)


def moved(store: FeatureStore, written: Fragment, ds: str) -> Fragment:
    folder = Path(store.uri.removeprefix("file://"), "features")
    path = f"ds={ds}/{written.path.rpartition('/')[2]}"
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / written.path).rename(folder / path)
    return dataclasses.replace(written, path=path)


def test_batches_are_small_whatever_the_row_groups(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    compact(store.uri, TableName.FEATURES)
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 1)
    assert [batch.num_rows for batch in parquet.read_batches(str(merged_file(store)))] == [1] * 12


def while_merging(monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Lets another commit happen after the merged file is written, before it is committed."""
    write_again = compaction.write_again

    def merge_and_let_another_commit(*arguments: object, **named: object) -> Fragment:
        merged = write_again(*arguments, **named)
        other()
        return merged

    monkeypatch.setattr(compaction, "write_again", merge_and_let_another_commit)


def test_a_run_that_commits_meanwhile_loses_nothing(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(store)
    while_merging(monkeypatch, lambda: commit(store, "meanwhile", fragment(store, {"new": 1})))
    assert compact(store.uri, TableName.FEATURES).merged == 4
    assert contents(store) == {**before, ("new", "1"): 1}


def test_images_that_change_meanwhile_win_and_the_compaction_leaves_nothing(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(store)
    changed = fragment(store, {"1-1": 100}, version="2", supersedes=True)
    while_merging(monkeypatch, lambda: commit(store, "meanwhile", changed))
    done = compact(store.uri, TableName.FEATURES)
    assert (done.merged, done.lost) == (0, 1)
    del before["1-1", "1"]
    assert contents(store) == {**before, ("1-1", "2"): 100}
    assert not list(Path(store.uri.removeprefix("file://")).rglob("compacted-*"))


def test_a_commit_whose_answer_was_lost_has_landed(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(store)
    write = DeltaTable.create_write_transaction

    def write_and_lose_the_answer(table: DeltaTable, *arguments: object, **named: object) -> None:
        monkeypatch.setattr(DeltaTable, "create_write_transaction", write)
        write(table, *arguments, **named)
        raise CommitFailedError("lost")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", write_and_lose_the_answer)
    done = compact(store.uri, TableName.FEATURES)
    assert (done.merged, done.lost) == (4, 0)
    assert rows(store).equals(before)


def test_runs_and_failures_are_compacted_too(store: FeatureStore) -> None:
    assert compact(store.uri, TableName.RUNS) == Compaction(files=0)
    assert compact(store.uri, TableName.FAILURES) == Compaction(files=0)


def test_images_that_change_while_a_compaction_commits_supersede_once(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """deltalake sees no conflict between a removal and a compaction of the same file: the turn has to."""
    before = contents(store)
    superseding_actions = commit_module.superseding_actions

    def supersede_and_let_a_compaction_commit(*arguments: object) -> list[object]:
        monkeypatch.setattr(commit_module, "superseding_actions", superseding_actions)
        actions = list(superseding_actions(*arguments))
        assert compact(store.uri, TableName.FEATURES).written == 1
        return actions

    monkeypatch.setattr(commit_module, "superseding_actions", supersede_and_let_a_compaction_commit)
    commit(store, "meanwhile", fragment(store, {"1-1": 100}, version="2", supersedes=True))
    del before["1-1", "1"]
    assert contents(store) == {**before, ("1-1", "2"): 100}
