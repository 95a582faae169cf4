"""A restoration brings an older version back, but nothing that was taken down."""

import dataclasses
import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from schemas.delta import commit_properties, write_actions
from schemas.errors import UsageError
from schemas.fragments import add_action
from schemas.maintenance import find_waste, plan_restoration, remove_waste, restore, take_down
from schemas.maintenance.restoration import Restoration
from schemas.store import FeatureStore
from tests.unit.schemas.store.test_store import SPEC, commit, contents, fragment


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Version 1: a and b; version 2: b changed, c new."""
    store = FeatureStore.create(str(tmp_path / "a store #1"), SPEC)
    commit(store, "r1", fragment(store, {"a": 1, "b": 2}))
    commit(store, "r2", fragment(store, {"b": 20, "c": 3}, version="2", supersedes=True))
    return store


def test_an_older_version_becomes_the_newest(store: FeatureStore) -> None:
    assert plan_restoration(store.uri, 1) == Restoration(version=2, back=2, gone=3, kept_down=0)
    assert store.features().version() == 2
    assert restore(store.uri, 1) == Restoration(version=2, back=2, gone=3, kept_down=0)
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}
    assert store.features().version() == 3
    restore(store.uri, 2)
    assert contents(store) == {("a", "1"): 1, ("b", "2"): 20, ("c", "2"): 3}


def test_what_comes_back_is_found_by_filters(store: FeatureStore) -> None:
    before = DeltaTable(store.uri.removeprefix("file://") + "/features", version=1)
    restore(store.uri, 1)
    after = DeltaTable(store.uri.removeprefix("file://") + "/features")
    for column in ("uri", "version", "split", "width", "extracted_at", "ds"):
        value = before.to_pyarrow_dataset().to_table([column])[column][0]
        found = after.to_pyarrow_dataset().to_table(["uri"], pc.field(column) == value)
        assert found.num_rows, column


def test_columns_that_came_later_stay(store: FeatureStore) -> None:
    store.carry([pa.field("breed", pa.string())])
    restore(store.uri, 1)
    assert store.scan(["breed"]).to_arrow()["breed"].to_pylist() == [None, None]


def test_images_that_were_taken_down_stay_so(store: FeatureStore) -> None:
    take_down(store.uri, pa.array(["b"]), None)
    assert plan_restoration(store.uri, 1).kept_down == 1
    assert restore(store.uri, 1).kept_down == 1
    assert contents(store) == {("a", "1"): 1}
    take_down(store.uri, pa.array(["a", "c"]), None)
    restore(store.uri, 2)
    assert contents(store) == {}


def test_no_version_after_a_takedown_shows_the_image(store: FeatureStore) -> None:
    take_down(store.uri, pa.array(["b"]), None)
    down = store.features().version()
    restore(store.uri, 1)
    for version in range(down, store.features().version() + 1):
        assert "b" not in store.scan(["uri"], table_version=version).to_arrow()["uri"].to_pylist()


def test_a_version_that_was_vacuumed_cannot_be_restored(store: FeatureStore) -> None:
    remove_waste(store.uri, find_waste(store.uri, datetime.timedelta(0), datetime.datetime.now(datetime.UTC)))
    for attempt in (plan_restoration, restore):
        with pytest.raises(UsageError, match="Version 1 cannot be restored: 1 of its files were vacuumed"):
            attempt(store.uri, 1)
    assert store.features().version() == 2


def test_files_without_statistics_come_back_and_leave_like_others(store: FeatureStore) -> None:
    without = dataclasses.replace(fragment(store, {"d": 4}), statistics="{}")
    table = store.features()
    write_actions(table, [add_action(f"{store.uri}/features", without)], commit_properties("other", {}))
    assert plan_restoration(store.uri, 1) == Restoration(version=3, back=2, gone=4, kept_down=0)
    restore(store.uri, 1)
    restore(store.uri, 3)
    assert contents(store)["d", "1"] == 4
    found = store.features().to_pyarrow_table(columns=["uri"], filters=[("uri", "=", "d")])
    assert found["uri"].to_pylist() == ["d"]
    take_down(store.uri, pa.array(["d"]), None)
    restore(store.uri, 3)
    assert ("d", "1") not in contents(store)
