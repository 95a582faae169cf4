"""A vacuum removes what nobody needs any more, and nothing that a live run or a reader of these days does."""

import datetime
import os
import uuid
from pathlib import Path

import pytest

from schemas.delta import paths_of
from schemas.fragments import TableName
from schemas.maintenance import RETENTION, compact, find_waste, remove_waste, restore
from schemas.maintenance.vacuum import Waste
from schemas.store import FeatureStore
from tests.unit.schemas.store.test_store import SPEC, commit, contents, fragment

DAY = datetime.timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.create(str(tmp_path / "a store #1"), SPEC)
    commit(store, "r1", fragment(store, {"a": 1}), fragment(store, {"b": 2}))
    return store


def folder(store: FeatureStore) -> Path:
    return Path(store.uri.removeprefix("file://"))


def leave(store: FeatureStore, run_id: str, days_old: float) -> Path:
    """Leaves an uncommitted fragment of a run."""
    written = folder(store) / "features" / fragment(store, {f"{run_id}-{days_old}": 1}).path
    return aged(written.rename(written.with_name(f"{run_id}-{uuid.uuid4()}.parquet")), days_old)


def leave_receipt(store: FeatureStore, run_id: str, days_old: float) -> Path:
    receipt = folder(store) / "receipts" / run_id / f"{uuid.uuid4()}.json"
    receipt.parent.mkdir(parents=True, exist_ok=True)
    receipt.write_text("{}")
    return aged(receipt, days_old)


def aged(path: Path, days: float) -> Path:
    moment = (datetime.datetime.now(datetime.UTC) - days * DAY).timestamp()
    os.utime(path, (moment, moment))
    return path


def waste(store: FeatureStore, retention: datetime.timedelta = RETENTION, days_later: float = 0) -> Waste:
    return find_waste(store.uri, retention, datetime.datetime.now(datetime.UTC) + days_later * DAY)


def names(uris: tuple[str, ...]) -> set[str]:
    return {uri.rpartition("/")[2] for uri in uris}


def test_a_store_without_waste_stays_whole(store: FeatureStore) -> None:
    assert waste(store, datetime.timedelta(0)) == Waste((), (), (), (), 0, (), 0)


def test_files_of_older_versions_go_after_the_retention(store: FeatureStore) -> None:
    before, old = contents(store), paths_of(store.features())
    for path in old:
        aged(folder(store) / "features" / path, 100)
    compact(store.uri, TableName.FEATURES)
    assert waste(store).old == (), "a file is as old as its removal, not as its bytes"
    found = waste(store, datetime.timedelta(0))
    assert names(found.old) == {path.rpartition("/")[2] for path in old}
    assert found.size > 0
    assert contents(store) == before
    remove_waste(store.uri, found)
    assert contents(store) == before
    assert len(list(folder(store).rglob("features/ds=*/*.parquet"))) == 1
    remove_waste(store.uri, found)


def test_fragments_and_receipts_of_runs_that_died_long_ago_go(store: FeatureStore) -> None:
    dead, receipt = leave(store, "dead", 8), leave_receipt(store, "dead", 8)
    found = waste(store)
    assert (names(found.uncommitted), names(found.receipts), found.live_runs) == ({dead.name}, {receipt.name}, ())
    assert found.uris[0].endswith(".json"), "a receipt goes before the fragment that it describes"
    remove_waste(store.uri, found)
    assert not dead.exists()
    assert not receipt.exists()
    assert sorted(contents(store)) == [("a", "1"), ("b", "1")]


def test_all_files_of_a_live_run_stay_however_old(store: FeatureStore) -> None:
    kept = [leave(store, "long", 20), leave_receipt(store, "long", 20), leave(store, "long", 0.1)]
    remove_waste(store.uri, found := waste(store))
    assert found.live_runs == ("long",)
    assert all(path.exists() for path in kept)


def test_a_receipt_that_may_be_adopted_keeps_its_fragment(store: FeatureStore) -> None:
    kept = [leave(store, "killed", 8), leave_receipt(store, "killed", 6)]
    remove_waste(store.uri, waste(store))
    assert all(path.exists() for path in kept)


def test_runs_of_the_last_day_are_live_whatever_the_retention(store: FeatureStore) -> None:
    running, dead = leave(store, "running", 0.5), leave(store, "dead", 1.5)
    found = waste(store, datetime.timedelta(0))
    assert (names(found.uncommitted), found.live_runs) == ({dead.name}, ("running",))
    remove_waste(store.uri, found)
    assert running.exists()


def test_files_written_again_do_not_pass_for_a_run(store: FeatureStore) -> None:
    stray = leave(store, "compacted", 8)
    leave(store, "compacted", 0)
    found = waste(store, datetime.timedelta(0))
    assert (names(found.uncommitted), found.live_runs, found.young) == ({stray.name}, (), 1)


def test_a_committed_fragment_never_goes(store: FeatureStore) -> None:
    for path in paths_of(store.features()):
        aged(folder(store) / "features" / path, 1000)
    assert waste(store, datetime.timedelta(0)).uris == ()


def test_files_that_came_back_since_they_were_found_stay(store: FeatureStore) -> None:
    before = contents(store)
    compact(store.uri, TableName.FEATURES)
    found = waste(store, datetime.timedelta(0))
    restore(store.uri, 1)
    remove_waste(store.uri, found)
    assert contents(store) == before
