"""A run that ends between its commits gets its row from a later run, with what stands beside its commits in the log."""

import datetime
from collections.abc import Iterator

import pytest

from schemas.delta import Scan, commit_info
from schemas.errors import FailureCode
from schemas.fragments import Fragment, TableName
from schemas.store import FeatureStore, InputCounts, Run, RunState
from schemas.store import recovery as recovery_module
from tests.support.fragments import SPEC, a_run, failures, fragment
from tests.support.nights import Killed, at_write
from transforms.extraction.run_commit import commit_run
from transforms.planning import Snapshot

STARTED = datetime.datetime(2026, 1, 31, 3, 4, 5, 678_901, datetime.UTC)


def rows(store: FeatureStore) -> list[dict[str, object]]:
    return Scan(store.runs()).to_arrow().sort_by("ended_at").to_pylist()


def states(store: FeatureStore) -> dict[str, str]:
    return {str(row["run_id"]): str(row["state"]) for row in rows(store)}


def kill(store: FeatureStore, run: Run, table: TableName, own: list[Fragment], *, done: bool = False) -> None:
    """Commits a run, which is killed right before or after its commit to a table."""

    def killed() -> None:
        raise Killed

    with pytest.raises(Killed), at_write(table, killed, done=done):
        commit_run(Snapshot.newest(store), run, own, InputCounts(listed=7, skipped=1, duplicates=2, left_aside=3))


def next_run(store: FeatureStore, name: str = "next", uri: str = "next") -> None:
    commit_run(Snapshot.newest(store), a_run(name), [fragment(store, {uri: 9}, run_id=name)], InputCounts(listed=1))


def five_and_one(store: FeatureStore) -> list[Fragment]:
    features = fragment(store, {f"image-{number}": number for number in range(5)}, run_id="killed")
    return [features, failures(store, ["bad"], run_id="killed", code=FailureCode.TIMEOUT)]


def test_a_run_without_a_row_gets_it_from_the_next_one(store: FeatureStore) -> None:
    run = a_run("killed", started_at=STARTED, ds=STARTED.date(), runner="DirectRunner", engine="openvino")
    kill(store, run, TableName.RUNS, five_and_one(store))
    assert states(store) == {}
    next_run(store)
    row, _ = rows(store)
    assert states(store) == {"killed": "recovered", "next": "complete"}
    assert (row["started_at"], row["ds"], row["runner"], row["engine"]) == (
        STARTED, STARTED.date(), "DirectRunner", "openvino",
    )  # fmt: skip
    assert [row[name] for name in ("listed", "skipped", "extracted", "failed")] == [7, 1, 5, 1]
    assert [row[name] for name in ("duplicates", "left_aside", "remaining")] == [2, 3, 0]
    assert (row["failures_by_code"], row["table_version"], row["planned_version"]) == ('{"timeout": 1}', 1, None)
    assert row["spec"] == SPEC.to_json()
    assert "ended before it could write this row" in str(row["message"])
    next_run(store, "after", "after")
    assert len(rows(store)) == 3


def test_a_run_that_was_killed_between_failures_and_features_says_what_is_left(store: FeatureStore) -> None:
    kill(store, a_run("killed"), TableName.FEATURES, five_and_one(store))
    next_run(store)
    row, _ = rows(store)
    assert (row["state"], row["table_version"]) == ("recovered", None)
    assert [row[name] for name in ("listed", "skipped", "extracted", "failed", "remaining")] == [7, 1, 0, 1, 5]


def test_one_that_was_only_slow_writes_its_own_row_after_all(store: FeatureStore) -> None:
    """Others have taken it for killed meanwhile: between its failures and its features, or before its row."""
    snapshot, slow, own = Snapshot.newest(store), a_run("slow"), five_and_one(store)
    with at_write(TableName.FEATURES, lambda: next_run(store), done=False):
        commit_run(snapshot, slow, own, InputCounts(listed=6))
    assert [(row["run_id"], row["state"]) for row in rows(store)] == [
        ("slow", "recovered"), ("next", "complete"), ("slow", "complete"),
    ]  # fmt: skip
    assert store.find_run("slow") == rows(store)[-1]

    late = fragment(store, {"late": 1}, run_id="late")
    with at_write(TableName.RUNS, lambda: next_run(store, "after", "after"), done=False):
        commit_run(Snapshot.newest(store), a_run("late"), [late], InputCounts(listed=1))
    assert [row["run_id"] for row in rows(store)].count("late") == 1


def test_two_that_find_the_same_lost_run_write_one_row(store: FeatureStore) -> None:
    kill(store, a_run("killed"), TableName.RUNS, five_and_one(store))
    snapshot = Snapshot.newest(store)
    first, second = (fragment(store, {name: 1}, run_id=name) for name in ("first", "second"))
    with at_write(
        TableName.RUNS, lambda: commit_run(snapshot, a_run("second"), [second], InputCounts(listed=1)), done=False
    ):
        commit_run(snapshot, a_run("first"), [first], InputCounts(listed=1))
    assert sorted(states(store)) == ["first", "killed", "second"]
    assert len(rows(store)) == 3


def test_commits_that_were_looked_at_are_not_read_again(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        next_run(store, f"run-{number}", f"image-{number}")
    read: list[tuple[str, int, int]] = []
    between = recovery_module.commits_between

    def noted(uri: str, after: int, last: int) -> list[tuple[int, dict[str, object]]]:
        read.append((uri.rpartition("/")[2], after, last))
        return between(uri, after, last)

    monkeypatch.setattr(recovery_module, "commits_between", noted)
    next_run(store)
    assert read == [("failures", 0, 0), ("features", 4, 5)]


def test_a_lost_run_of_an_older_version_of_the_program_has_what_its_commit_tells(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "facts", lambda *_: "{}")
    monkeypatch.setattr("transforms.extraction.run_commit.FACTS", "something else")
    kill(store, a_run("killed"), TableName.RUNS, five_and_one(store))
    info = commit_info(f"{store.uri}/features", 1)
    assert info is not None
    monkeypatch.undo()
    next_run(store)
    row, _ = rows(store)
    assert [row[name] for name in ("run_id", "state", "listed", "extracted", "failed")] == [
        "killed", "recovered", 6, 5, 1,
    ]  # fmt: skip
    assert row["ended_at"] == datetime.datetime.fromtimestamp(info["timestamp"] / 1000, datetime.UTC)


def test_a_name_that_has_committed_is_found_although_its_row_is_lost(store: FeatureStore) -> None:
    kill(store, a_run("killed"), TableName.FEATURES, five_and_one(store))
    store.recover_run("killed")
    assert store.committed_run("killed") is None
    kill(store, a_run("killed"), TableName.RUNS, five_and_one(store))
    assert store.committed_run("killed") is None
    for _ in range(2):
        store.recover_run("killed")
        found = store.committed_run("killed")
        assert found is not None
        assert (found["state"], found["extracted"]) == (RunState.RECOVERED, 5)
        assert len(rows(store)) == 1


@pytest.fixture(params=["complete", "recovered"])
def committed_once(request: pytest.FixtureRequest, store: FeatureStore) -> Iterator[FeatureStore]:
    """A store in which a run named `nightly` has committed."""
    own = [fragment(store, {"a": 1}, run_id="nightly")]
    if request.param == "complete":
        commit_run(Snapshot.newest(store), a_run("nightly"), own, InputCounts(listed=1))
    else:
        with pytest.raises(KeyError), at_write(TableName.RUNS, lambda: {}["killed"], done=False):
            commit_run(Snapshot.newest(store), a_run("nightly"), own, InputCounts(listed=1))
        store.recover_run("nightly")
    return store


def test_a_second_run_of_the_name_commits_nothing(committed_once: FeatureStore) -> None:
    store = committed_once
    late = [fragment(store, {"late": 2}, run_id="nightly"), failures(store, ["bad"], run_id="nightly")]
    outcome = commit_run(Snapshot.newest(store), a_run("nightly"), late, InputCounts(listed=2))
    assert (outcome.state, outcome.totals.images) == (RunState.COMPLETE, 0)
    assert "has committed meanwhile" in str(outcome.message)
    assert store.scan(["uri"]).to_numpy("uri").tolist() == ["a"]
    assert store.failures().count() == 0
    assert len(rows(store)) == 1
