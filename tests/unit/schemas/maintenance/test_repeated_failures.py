"""Tables of failures from before a version of an image had one row there: compaction leaves the newest."""

from pathlib import Path

import pytest

from schemas.commits import commit as commit_module
from schemas.delta import Scan
from schemas.errors import FailureCode
from schemas.fragments import TableName
from schemas.maintenance import compact
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, failures


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.create(str(tmp_path / "store"), SPEC)


def add(store: FeatureStore, patch: pytest.MonkeyPatch, uris: list[str], version: str, code: FailureCode) -> None:
    """Commits failures as they were committed once: beside those that are there."""
    with patch.context() as context:
        context.setattr(commit_module, "replaced_failures_actions", lambda *_: [])
        planned_on = {TableName.FAILURES: store.failures().version(), TableName.FEATURES: store.features().version()}
        run_id = f"r{store.failures().version()}"
        written = failures(store, uris, version, run_id=run_id, code=code)
        store.commit_fragments(TableName.FAILURES, run_id, [written], planned_on)


def rows(store: FeatureStore) -> list[tuple[str, str, str]]:
    found = Scan(store.failures()).to_arrow().to_pylist()
    return sorted((row["uri"], row["version"], row["code"]) for row in found)


def test_of_several_rows_the_newest_stays(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, monkeypatch, ["a", "b"], "1", FailureCode.TIMEOUT)
    add(store, monkeypatch, ["a"], "1", FailureCode.SERVER_ERROR)
    add(store, monkeypatch, ["a"], "2", FailureCode.TIMEOUT)
    add(store, monkeypatch, ["a", "c"], "1", FailureCode.EMPTY_FILE)
    assert len(rows(store)) == 6
    done = compact(store.uri, TableName.FAILURES)
    assert done.repeats == 2
    right = [("a", "1", "empty_file"), ("a", "2", "timeout"), ("b", "1", "timeout"), ("c", "1", "empty_file")]
    assert rows(store) == right
    version = store.failures().version()
    assert compact(store.uri, TableName.FAILURES).repeats == 0
    assert (rows(store), store.failures().version()) == (right, version)


def test_tables_without_repeats_and_without_rows_stay_as_they_are(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compact(store.uri, TableName.FAILURES).repeats == 0
    add(store, monkeypatch, ["a", "b"], "1", FailureCode.TIMEOUT)
    assert compact(store.uri, TableName.FAILURES).repeats == 0
    assert store.failures().version() == 1
