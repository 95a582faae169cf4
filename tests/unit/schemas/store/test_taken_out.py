"""Which runs still have in the table what they committed: restorations and repairs take rows out."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.delta import paths_of
from schemas.fragments import TableName
from schemas.maintenance import compact, drop_files, mark_taken_out, restore, take_down
from schemas.store import FeatureStore, InputCounts, TakenOut
from tests.support.fragments import SPEC, a_run, failures, fragment
from transforms.extraction.run_commit import commit_run
from transforms.planning import Snapshot


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Versions 1, 2 and 3 are those of the runs `run-1`, `run-2` and `run-3`."""
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    for number in (1, 2, 3):
        run(store, number)
    return store


def run(store: FeatureStore, number: int) -> None:
    own = [fragment(store, {f"image-{number}": number}), failures(store, [f"bad-{number}"])]
    commit_run(Snapshot.newest(store), a_run(f"run-{number}"), own, InputCounts(listed=2))


def nothing_new(store: FeatureStore, number: int) -> None:
    commit_run(Snapshot.newest(store), a_run(f"run-{number}"), [], InputCounts(listed=1, skipped=1))


def intact(store: FeatureStore) -> list[int]:
    """The numbers of the runs of which nothing has been taken out."""
    taken_out = TakenOut(f"{store.uri}/features")
    rows = [store.find_run(f"run-{number}") for number in range(1, 9)]
    return [number for number, row in enumerate(rows, 1) if row is not None and not taken_out.since(row)]


def test_a_restored_version_has_what_was_committed_up_to_it(store: FeatureStore) -> None:
    assert intact(store) == [1, 2, 3]
    restore(store.uri, 2)
    assert intact(store) == [1, 2]
    run(store, 4)
    assert intact(store) == [1, 2, 4]


def test_a_restoration_that_is_undone_takes_nothing_out(store: FeatureStore) -> None:
    restore(store.uri, 1)
    assert intact(store) == [1]
    restore(store.uri, 3)
    assert intact(store) == [1, 2, 3]


def test_of_two_restorations_both_count(store: FeatureStore) -> None:
    restore(store.uri, 1)
    run(store, 4)
    run(store, 5)
    restore(store.uri, 5)  # That of `run-4`.
    assert intact(store) == [1, 4]


def test_a_run_that_found_everything_there_has_lost_what_it_found(store: FeatureStore) -> None:
    nothing_new(store, 4)
    restore(store.uri, 2)
    assert intact(store) == [1, 2]
    nothing_new(store, 5)
    assert intact(store) == [1, 2, 5]


def test_a_run_that_planned_before_a_restoration_and_committed_after_it_may_lack_what_it_found(
    store: FeatureStore,
) -> None:
    snapshot = Snapshot.newest(store)
    restore(store.uri, 1)
    commit_run(snapshot, a_run("run-4"), [fragment(store, {"image-4": 4})], InputCounts(listed=4, skipped=3))
    assert intact(store) == [1]


def test_a_repair_may_have_taken_out_rows_of_every_run(store: FeatureStore) -> None:
    compact(store.uri, TableName.FEATURES)
    drop_files(store.uri, TableName.FEATURES, paths_of(store.features()))
    assert intact(store) == []
    run(store, 4)
    assert intact(store) == [4]


@pytest.mark.parametrize("how", ["a table of failures", "the end of a log"])
def test_so_may_other_repairs(how: str, store: FeatureStore) -> None:
    if how == "a table of failures":
        drop_files(store.uri, TableName.FAILURES, paths_of(store.failures()))
    else:
        mark_taken_out(store.uri)
    assert intact(store) == []


def test_what_is_no_loss(store: FeatureStore) -> None:
    """Runs that supersede, compaction, and takedowns, whose images no run is to compute again."""
    again = fragment(store, {"image-1": 10}, version="2", supersedes=True)
    commit_run(Snapshot.newest(store), a_run("run-4"), [again], InputCounts(listed=1))
    compact(store.uri, TableName.FEATURES)
    take_down(store.uri, pa.array(["image-2"]), None)
    assert intact(store) == [1, 2, 3, 4]


def test_where_the_log_of_a_restoration_has_expired_it_may_have_taken_anything(store: FeatureStore) -> None:
    restore(store.uri, 2)
    store.features().create_checkpoint()
    log = Path(store.uri.removeprefix("file://"), "features", "_delta_log")
    for entry in log.glob("*.json"):
        entry.unlink()
    assert intact(store) == []


def test_rows_of_older_versions_of_the_program_are_judged_by_their_version(store: FeatureStore) -> None:
    row = {key: value for key, value in (store.find_run("run-2") or {}).items() if key != "planned_version"}
    assert not TakenOut(f"{store.uri}/features").since(row)
    restore(store.uri, 2)
    assert not TakenOut(f"{store.uri}/features").since(row)
    restore(store.uri, 1)
    assert TakenOut(f"{store.uri}/features").since(row)
    assert json.loads(row["options"]) == {}
