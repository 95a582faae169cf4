"""Takedowns: rows gone in one commit, on record, and nobody who commits meanwhile brings them back."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, Transaction
from deltalake.exceptions import CommitFailedError

from schemas.commits import removal
from schemas.delta import Scan
from schemas.delta.transactions import CONFLICT_TOKEN
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.maintenance import compact, find_waste, open_takedowns, plan_takedown, remove_waste, take_down, takedowns
from schemas.maintenance.takedowns import Takedown, taken_down
from schemas.store import FeatureStore
from schemas.tables import FAILURES
from tests.unit.schemas.store.test_store import SPEC, commit, contents, fragment

SECRET = np.float32(1234.5678)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.create(str(tmp_path / "a store #1"), SPEC)
    commit(store, "r1", fragment(store, {"a": 1, "b": float(SECRET)}), fragment(store, {"c": 3}))
    store.commit_fragments(TableName.FAILURES, "r1", [failure_fragment(store, "d", "e")])
    return store


def failure_fragment(store: FeatureStore, *uris: str) -> Fragment:
    schema = FAILURES.remove(FAILURES.get_field_index("ds"))
    row = {"version": "1", "stage": "decode", "code": "truncated", "message": "", "permanent": True, "run_id": "r1"}
    rows = [{**row, "uri": uri, "failed_at": datetime.datetime.now(datetime.UTC)} for uri in uris]
    with FragmentWriter(f"{store.uri}/failures", TableName.FAILURES, "ds=2026-01-31/f.parquet", schema) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema))
    return writer.fragment()


def uris(*names: str) -> pa.Array:
    return pa.array(names, pa.string())


def failed(store: FeatureStore) -> list[str]:
    return Scan(store.failures(), ["uri"]).to_arrow()["uri"].to_pylist()


def recorded(store: FeatureStore) -> list[tuple[str, str | None]]:
    table = open_takedowns(store.uri)
    assert table is not None
    return sorted((row["uri"], row["reason"]) for row in Scan(table).to_arrow().to_pylist())


def test_the_rows_go_in_one_commit_a_table(store: FeatureStore) -> None:
    versions = store.features().version(), store.failures().version()
    done = take_down(store.uri, uris("b", "c", "d", "nobody"), "asked for")
    assert done == Takedown(uris=4, recorded=4, absent=1, rows={TableName.FEATURES: 2, TableName.FAILURES: 1})
    assert contents(store) == {("a", "1"): 1}
    assert failed(store) == ["e"]
    assert (store.features().version(), store.failures().version()) == (versions[0] + 1, versions[1] + 1)
    assert recorded(store) == [(uri, "asked for") for uri in ("b", "c", "d", "nobody")]


def test_a_plan_says_the_same_and_changes_nothing(store: FeatureStore) -> None:
    before = contents(store)
    planned = plan_takedown(store.uri, uris("b", "d", "nobody"))
    assert contents(store) == before
    assert open_takedowns(store.uri) is None
    assert take_down(store.uri, uris("b", "d", "nobody"), None) == planned


def test_taking_down_again_records_nothing_twice(store: FeatureStore) -> None:
    take_down(store.uri, uris("b"), None)
    done = take_down(store.uri, uris("b", "c"), "later")
    assert (done.recorded, done.absent) == (1, 1)
    assert recorded(store) == [("b", None), ("c", "later")]


def test_a_takedown_that_died_after_it_was_recorded_is_completed(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(takedowns, "_remove", die)
        with pytest.raises(KeyboardInterrupt):
            take_down(store.uri, uris("b"), None)
    assert taken_down(store.uri, uris("a", "b")).to_pylist() == [False, True]
    take_down(store.uri, uris("b"), None)
    assert sorted(contents(store)) == [("a", "1"), ("c", "1")]


def test_nothing_is_taken_down_in_a_store_without_takedowns(store: FeatureStore) -> None:
    assert taken_down(store.uri, uris("a", "b")).to_pylist() == [False, False]
    assert taken_down(store.uri, uris()).to_pylist() == []


def test_who_looked_before_has_to_look_again(store: FeatureStore) -> None:
    snapshot = store.features()
    assert not taken_down(store.uri, uris("nobody"))[0].as_py()
    take_down(store.uri, uris("nobody"), None)
    with pytest.raises(CommitFailedError):
        snapshot.create_write_transaction(
            [], "append", snapshot.schema(), ["ds"],
            commit_properties=CommitProperties(app_transactions=[Transaction(CONFLICT_TOKEN, snapshot.version() + 1)]),
        )  # fmt: skip


def test_a_compaction_meanwhile_keeps_no_row(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_again = removal.write_again

    def write_and_compact(*arguments: object, **named: object) -> Fragment:
        monkeypatch.setattr(removal, "write_again", write_again)
        written = write_again(*arguments, **named)
        assert compact(store.uri, TableName.FEATURES).written == 1
        return written

    monkeypatch.setattr(removal, "write_again", write_and_compact)
    assert take_down(store.uri, uris("b"), None).rows[TableName.FEATURES] == 1
    assert contents(store) == {("a", "1"): 1, ("c", "1"): 3}


def test_after_a_vacuum_the_bytes_are_gone(store: FeatureStore) -> None:
    commit(store, "r2", fragment(store, {"e": 5}))
    compact(store.uri, TableName.FEATURES)
    folder = Path(store.uri.removeprefix("file://"))
    holding = [path for path in folder.rglob("*.parquet") if SECRET.tobytes() in _floats(path)]
    assert len(holding) == 2
    take_down(store.uri, uris("b", "d"), None)
    assert all(path.exists() for path in holding)
    remove_waste(store.uri, find_waste(store.uri, datetime.timedelta(0), datetime.datetime.now(datetime.UTC)))
    assert not [path for path in folder.rglob("*.parquet") if SECRET.tobytes() in _floats(path)]
    assert sorted(contents(store)) == [("a", "1"), ("c", "1"), ("e", "1")]
    assert failed(store) == ["e"]
    with pytest.raises(FileNotFoundError):
        store.scan(table_version=1).to_arrow()


def _floats(path: Path) -> bytes:
    """The floats of a file, which is compressed, as bytes."""
    table = pq.read_table(path)
    return b"".join(
        table[name].combine_chunks().flatten().to_numpy().tobytes()
        for name in ("pooled", "map")
        if name in table.column_names
    )
