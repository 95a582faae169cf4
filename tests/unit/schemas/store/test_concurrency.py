"""Several runs commit to one store: every (uri, version) is there once, whoever comes first."""

import datetime
import json
import threading
from collections.abc import Callable
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from schemas.commits import commit as commit_module
from schemas.delta import Scan
from schemas.errors import FailureCode, RunFailed
from schemas.fragments import TableName, Totals
from schemas.maintenance import restore, take_down
from schemas.store import FeatureStore, InputCounts, RunResult, RunState
from tests.support.fragments import SPEC, a_run, contents, failed_images, failures, fragment
from tests.support.nights import World, at_write
from transforms.extraction.run_commit import commit_run
from transforms.planning import Snapshot


def runs(store: FeatureStore) -> list[dict[str, object]]:
    return Scan(store.runs()).to_arrow().sort_by("run_id").to_pylist()


def figures(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("listed", "skipped", "extracted", "failed"))


def test_what_another_run_has_committed_since_is_skipped(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    first, second = fragment(store, {"a": 1, "b": 2}), fragment(store, {"b": 20, "c": 30}, run_id="s")
    commit_run(snapshot, a_run("r"), [first], InputCounts(listed=2))
    commit_run(snapshot, a_run("s"), [second], InputCounts(listed=2))
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2, ("c", "1"): 30}
    assert [figures(row) for row in runs(store)] == [(2, 0, 2, 0), (2, 1, 1, 0)]


def test_a_run_whose_rows_are_all_there_commits_nothing(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    for run_id in ("r", "s"):
        commit_run(snapshot, a_run(run_id), [fragment(store, {"a": 1, "b": 2})], InputCounts(listed=2))
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}
    assert [figures(row) for row in runs(store)] == [(2, 0, 2, 0), (2, 2, 0, 0)]
    assert store.features().version() == 1


def test_another_version_that_was_committed_since_is_superseded(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    commit_run(snapshot, a_run("r"), [fragment(store, {"a": 1, "b": 2})], InputCounts(listed=2))
    commit_run(snapshot, a_run("s"), [fragment(store, {"b": 20}, version="2")], InputCounts(listed=1))
    assert contents(store) == {("a", "1"): 1, ("b", "2"): 20}


def test_a_fragment_that_is_in_the_table_is_not_added_again(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    adopted = fragment(store, {"a": 1, "b": 2})
    for run_id in ("r", "s"):
        commit_run(snapshot, a_run(run_id), [adopted], InputCounts(listed=2))
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}
    assert [figures(row) for row in runs(store)] == [(2, 0, 2, 0), (2, 2, 0, 0)]


def test_what_was_there_when_the_run_planned_is_not_read_again(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_run(Snapshot.newest(store), a_run("r"), [fragment(store, {"a": 1})], InputCounts(listed=1))
    snapshot = Snapshot.newest(store)
    monkeypatch.setattr(commit_module, "without_committed", lambda _, own, files, *__: own if files == [] else 1 / 0)
    commit_run(snapshot, a_run("s"), [fragment(store, {"b": 2})], InputCounts(listed=1))
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}


def test_compaction_in_between_does_no_harm(store: FeatureStore) -> None:
    for uri in ("a", "b"):
        commit_run(Snapshot.newest(store), a_run(uri), [fragment(store, {uri: 1})], InputCounts(listed=1))
    snapshot = Snapshot.newest(store)
    store.features().optimize.compact()
    commit_run(
        snapshot, a_run("s"), [fragment(store, {"b": 20}, "2"), fragment(store, {"c": 3})], InputCounts(listed=2)
    )
    assert contents(store) == {("a", "1"): 1, ("b", "2"): 20, ("c", "1"): 3}


def test_two_runs_that_fail_on_one_image_write_one_row(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    for run_id in ("r", "s"):
        commit_run(snapshot, a_run(run_id), [failures(store, ["a", run_id], run_id=run_id)], InputCounts(listed=2))
    assert failed_images(store) == ["a", "r", "s"]
    assert [figures(row) for row in runs(store)] == [(2, 0, 0, 2), (2, 1, 0, 1)]
    assert [json.loads(str(row["failures_by_code"])) for row in runs(store)] == [{"empty_file": 2}, {"empty_file": 1}]


def test_an_image_that_has_features_since_is_no_failure(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    commit_run(snapshot, a_run("r"), [fragment(store, {"a": 1})], InputCounts(listed=1))
    commit_run(snapshot, a_run("s"), [failures(store, ["a", "b"])], InputCounts(listed=2))
    assert failed_images(store) == ["b"]


def test_what_was_taken_down_since_does_not_come_back(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    take_down(store.uri, pa.array(["a", "x"]), None)
    own = [fragment(store, {"a": 1, "b": 2}), failures(store, ["x", "y"])]
    commit_run(snapshot, a_run("r"), own, InputCounts(listed=4))
    assert contents(store) == {("b", "1"): 2}
    assert failed_images(store) == ["y"]
    assert [figures(row) for row in runs(store)] == [(4, 2, 1, 1)]


Write = Callable[..., None]


def interrupted(monkeypatch: pytest.MonkeyPatch, before: list[Exception | None], after: list[Exception | None]) -> None:
    """Makes the writes of commits raise, before or after they are done; None lets one pass."""
    write: Write = commit_module.write_actions

    def faulty(*arguments: object) -> None:
        if before and (error := before.pop(0)):
            raise error
        write(*arguments)
        if after and (error := after.pop(0)):
            raise error

    monkeypatch.setattr(commit_module, "write_actions", faulty)


@pytest.mark.parametrize("error", [OSError("503 Slow Down"), TimeoutError("slow"), CommitFailedError("conflict")])
def test_a_commit_that_fails_is_tried_again(
    error: Exception, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, before=[error, error], after=[])
    store.commit_fragments(TableName.FEATURES, "r", [fragment(store, {"a": 1})])
    assert contents(store) == {("a", "1"): 1}
    assert store.features().version() == 1


def test_a_commit_whose_answer_is_lost_is_done_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, before=[], after=[OSError("connection reset")])
    commit = store.commit_fragments(TableName.FEATURES, "r", [fragment(store, {"a": 1})])
    assert (commit.version, commit.totals.extracted) == (1, 1)
    assert store.features().version() == 1


def test_storage_that_stays_at_fault_is_told_in_a_sentence(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, before=[OSError("503 Slow Down")] * 9, after=[])
    with pytest.raises(RunFailed, match=r"The commit to .*/features failed, and was not seen to .*: 503 Slow"):
        store.commit_fragments(TableName.FEATURES, "r", [fragment(store, {"a": 1})])
    assert contents(store) == {}


def test_a_run_that_dies_between_its_commits_tells_the_same_when_it_is_tried_again(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, run = Snapshot.newest(store), a_run("s")
    commit_run(snapshot, a_run("r"), [fragment(store, {"a": 1}), failures(store, ["x"])], InputCounts(listed=2))
    own = [fragment(store, {"a": 1, "b": 2}), failures(store, ["x", "y"])]
    for die_in, done in (("commit_fragments", FeatureStore.commit_fragments), ("record_run", FeatureStore.record_run)):

        def dies(*arguments: object, done: Callable[..., object] = done, **named: object) -> None:
            done(*arguments, **named)
            raise KeyError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(FeatureStore, die_in, dies)
            with pytest.raises(KeyError, match="killed"):
                commit_run(snapshot, run, own, InputCounts(listed=4))
    outcome = commit_run(snapshot, run, own, InputCounts(listed=4))
    assert (outcome.counts.skipped, outcome.totals.extracted, outcome.totals.failed) == (2, 1, 1)
    assert [figures(row) for row in runs(store)] == [(2, 0, 1, 1), (4, 2, 1, 1)]
    assert failed_images(store) == ["x", "y"]


def test_of_two_runs_of_one_name_the_first_commits(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    for rows in ({"a": 1.0}, {"a": 1.0, "late": 2.0}):
        commit_run(snapshot, a_run("nightly"), [fragment(store, rows)], InputCounts(listed=len(rows)))
    assert contents(store) == {("a", "1"): 1}
    assert sorted(map(figures, runs(store))) == [(1, 0, 1, 0)]


def test_what_fails_again_has_one_row_the_newest(store: FeatureStore) -> None:
    """Files with other failures lose the row alone, those with nothing else go, and other versions stay."""
    failed = {
        "r": [failures(store, ["a", "b"], code=FailureCode.TIMEOUT)],
        "s": [failures(store, ["c"], code=FailureCode.TIMEOUT), failures(store, ["a"], version="2")],
        "t": [failures(store, ["a", "c"], run_id="t", code=FailureCode.SERVER_ERROR)],
    }
    for run_id, own in failed.items():
        counts = InputCounts(listed=sum(each.rows for each in own))
        commit_run(Snapshot.newest(store), a_run(run_id), own, counts)
    rows = Scan(store.failures()).to_arrow().to_pylist()
    assert sorted((row["uri"], row["version"], row["code"], row["run_id"]) for row in rows) == [
        ("a", "1", "server_error", "t"), ("a", "2", "empty_file", "r"), ("b", "1", "timeout", "r"),
        ("c", "1", "server_error", "t"),
    ]  # fmt: skip
    assert [figures(row) for row in runs(store)] == [(2, 0, 0, 2), (2, 0, 0, 2), (2, 0, 0, 2)]
    assert len(Scan(store.failures(2)).to_arrow()) == 4, "the version before is as it was"


def test_eight_threads_commit_at_once(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    written = {
        f"r{number}": fragment(store, {f"{image:02}": number for image in range(number, number + 8)})
        for number in range(8)
    }
    barrier = threading.Barrier(8)

    def commit(run_id: str) -> None:
        barrier.wait()
        commit_run(snapshot, a_run(run_id), [written[run_id]], InputCounts(listed=8))

    threads = [threading.Thread(target=commit, args=(run_id,)) for run_id in written]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = runs(store)
    assert sorted(uri for uri, _ in contents(store)) == [f"{image:02}" for image in range(15)]
    assert len(rows) == 8
    assert sum(int(str(row["extracted"])) for row in rows) == 15
    assert all(figures(row)[0] == sum(map(int, map(str, figures(row)[1:]))) for row in rows)


@pytest.mark.parametrize("attempt", range(8))
def test_many_threads_make_one_store(attempt: int, tmp_path: Path) -> None:
    barrier, made = threading.Barrier(8), []

    def create() -> None:
        barrier.wait()
        made.append(FeatureStore.create(str(tmp_path / "store"), SPEC))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert [table.version() for table in (made[0].features(), made[0].failures(), made[0].runs())] == [0, 0, 0]


def test_the_clock_changes_nothing_but_times(store: FeatureStore) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for days in (1, -1):
        started = now + datetime.timedelta(days=days)
        run = a_run(f"{days:+}", started_at=started, ds=started.date())
        snapshot = Snapshot.newest(store)
        rows = {"a": 1.0} if days == 1 else {"b": 2.0}
        commit_run(snapshot, run, [fragment(store, rows)], InputCounts(listed=1))
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}
    assert [row["started_at"] for row in runs(store)] == [now + datetime.timedelta(days=days) for days in (1, -1)]
    assert all(row["state"] == "complete" for row in runs(store))


def test_a_runs_table_from_before_gets_its_new_columns(store: FeatureStore) -> None:
    commit_run(Snapshot.newest(store), a_run("r"), [fragment(store, {"a": 1})], InputCounts(listed=1))
    old = Scan(store.runs()).to_arrow().drop_columns(["adopted", "remaining"])
    deltalake.write_deltalake(store.runs(), old, mode="overwrite", schema_mode="overwrite")
    store.record_run(a_run("s"), RunResult(RunState.COMPLETE, InputCounts(listed=3), Totals(extracted=3, adopted=2)))
    assert [(row["run_id"], row["adopted"]) for row in runs(store)] == [("r", None), ("s", 2)]


def test_a_run_with_images_left_commits_nothing(store: FeatureStore) -> None:
    snapshot = Snapshot.newest(store)
    outcome = commit_run(snapshot, a_run("r"), [fragment(store, {"a": 1})], InputCounts(listed=3, remaining=2))
    assert (outcome.state, outcome.totals.extracted) == (RunState.STOPPED, 1)
    assert "2 of 3 images left" in str(outcome.message)
    assert contents(store) == {}
    assert runs(store)[0]["remaining"] == 2


def test_accounts_that_do_not_add_up_commit_nothing(store: FeatureStore) -> None:
    outcome = commit_run(Snapshot.newest(store), a_run("r"), [fragment(store, {"a": 1})], InputCounts(listed=2))
    assert outcome.state == RunState.FAILED
    assert contents(store) == {}


def test_rows_that_a_restoration_takes_out_before_a_commit_are_in_it(tmp_path: Path) -> None:
    """Another run had committed them, so they were left out, until somebody restored the table to before."""
    world = World(tmp_path)
    world.put("a.png", 10)
    first = world.plan()
    world.put("b.png", 20)
    second = world.plan()
    for night in (first, second):
        world.work(night)
    before = world.store.features().version()
    world.commit(first)
    with at_write(TableName.FEATURES, lambda: restore(world.store.uri, before), done=False):
        world.commit(second)
    assert sorted(world.rows()) == ["a.png", "b.png"]
