"""A store: commits are atomic and happen once, changed images supersede, and other readers see what we see."""

import dataclasses
import datetime
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from schemas.errors import InvalidInput, InvalidSpec, SpecMismatch, StoreNotFound, StoreNotWritable, UsageError
from schemas.fragments import Fragment, TableName
from schemas.store import FeatureStore
from schemas.tables import features_schema
from tests.support.fragments import SPEC, contents, fragment


def commit(store: FeatureStore, run_id: str, *fragments: Fragment) -> int:
    return store.commit_fragments(TableName.FEATURES, run_id, fragments).version


def test_a_store_remembers_its_spec(store: FeatureStore) -> None:
    assert FeatureStore.open(store.uri).spec == SPEC
    assert FeatureStore.find(store.uri + "/nowhere") is None
    with pytest.raises(StoreNotFound, match="There is no feature store"):
        FeatureStore.open(store.uri + "/nowhere")


def test_creating_it_again_opens_it(store: FeatureStore) -> None:
    commit(store, "r", fragment(store, {"a": 1}))
    assert contents(FeatureStore.create(store.uri, SPEC)) == {("a", "1"): 1}


def test_a_store_with_another_spec_is_refused(store: FeatureStore) -> None:
    with pytest.raises(
        SpecMismatch, match=r"another spec \(interpolation is bilinear in the store, nearest was asked\):"
    ):
        FeatureStore.create(store.uri, dataclasses.replace(SPEC, interpolation="nearest"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreNotWritable, match="cannot be written"):
        FeatureStore.create(f"{tmp_path}/file/store", SPEC)


def test_a_fragment_is_visible_once_it_is_committed(store: FeatureStore) -> None:
    written = fragment(store, {"a": 1, "b": 2})
    assert contents(store) == {}
    assert commit(store, "r", written) == 1
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}


def test_a_run_commits_once(store: FeatureStore) -> None:
    written = fragment(store, {"a": 1})
    assert [commit(store, "r", written), commit(store, "r", written)] == [1, 1]
    assert contents(store) == {("a", "1"): 1}


def test_nothing_is_committed_when_there_is_nothing(store: FeatureStore) -> None:
    assert commit(store, "r") == 0


def test_a_missing_fragment_stops_the_commit(store: FeatureStore, tmp_path: Path) -> None:
    first, second = fragment(store, {"a": 1}), fragment(store, {"b": 1})
    (tmp_path / "a store #1" / "features" / second.path).unlink()
    with pytest.raises(FileNotFoundError):
        commit(store, "r", first, second)
    assert contents(store) == {}


def test_a_truncated_fragment_stops_the_commit(store: FeatureStore, tmp_path: Path) -> None:
    written = fragment(store, {"a": 1})
    path = tmp_path / "a store #1" / "features" / written.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileNotFoundError, match="bytes"):
        commit(store, "r", written)


def test_changed_images_supersede_their_rows_in_one_commit(store: FeatureStore) -> None:
    commit(store, "r1", fragment(store, {"a": 1, "b": 2}), fragment(store, {"c": 3}), fragment(store, {"x": 9}))
    before = store.features().version()
    commit(store, "r2", fragment(store, {"b": 20, "c": 30, "d": 4}, version="2", supersedes=True))
    assert store.features().version() == before + 1
    assert contents(store) == {("a", "1"): 1, ("b", "2"): 20, ("c", "2"): 30, ("d", "2"): 4, ("x", "1"): 9}
    old = store.scan(["uri"], table_version=before).to_arrow()
    assert sorted(old["uri"].to_pylist()) == ["a", "b", "c", "x"]


def test_scans_choose_columns_rows_and_versions(store: FeatureStore) -> None:
    commit(store, "r", fragment(store, {"a": 1, "b": 2}))
    scan = store.scan(["uri"], [("uri", ">", "a"), ("split", "=", "train")])
    assert scan.to_arrow().to_pydict() == {"uri": ["b"]}
    assert store.scan(["uri"], pc.field("ds") == datetime.date(2026, 1, 31)).to_arrow().num_rows == 2
    assert store.scan(["uri"], pc.field("ds") == datetime.date(2026, 1, 30)).to_arrow().num_rows == 0
    assert store.scan(["uri"], table_version=0).to_arrow().num_rows == 0
    assert store.scan().to_pandas()["ds"].tolist() == [datetime.date(2026, 1, 31)] * 2
    assert [batch.num_rows for batch in store.scan().to_batches(rows_per_batch=1)] == [1, 1]
    with pytest.raises(UsageError, match="no column 'pool'; did you mean 'pooled'"):
        store.scan(["pool"])


def test_features_arrive_in_numpy_in_their_shape(store: FeatureStore) -> None:
    assert store.scan().to_numpy("map").shape == (0, 2, 2, 1)
    commit(store, "r", fragment(store, {"a": 1, "b": 2}), fragment(store, {"c": 5}))
    uris = store.scan(["uri"]).to_numpy("uri").tolist()
    maps = store.scan().to_numpy("map")
    assert maps.dtype == np.float32
    by_uri = dict(zip(uris, maps, strict=True))
    np.testing.assert_array_equal(by_uri["b"], [[[2], [3]], [[4], [5]]])
    np.testing.assert_array_equal(store.scan(["pooled"], [("uri", "=", "c")]).to_numpy(), [[5, 5, 5]])
    with pytest.raises(UsageError, match="2 feature columns; name one"):
        store.scan().to_numpy()


def test_one_row_group_is_not_copied(store: FeatureStore) -> None:
    commit(store, "r", fragment(store, {"a": 1, "b": 2}))
    assert not store.scan(["pooled"]).to_numpy().flags.owndata


def test_the_shape_stands_in_the_schema(store: FeatureStore) -> None:
    field = store.scan().schema.field("map")
    assert field.metadata[b"shape"] == b"[2, 2, 1]"
    assert not field.nullable
    assert not field.type.value_field.nullable


def test_every_field_says_what_it_holds(store: FeatureStore) -> None:
    for table in (store.features(), store.failures(), store.runs()):
        for field in pa.schema(table.schema()):
            assert field.metadata[b"comment"], field.name


@pytest.mark.parametrize("reader", ["pandas", "duckdb", "polars"])
def test_other_readers_see_the_same(reader: str, tmp_path: Path) -> None:
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    commit(store, "r1", fragment(store, {"a": 1, "b": 2}))
    commit(store, "r2", fragment(store, {"b": 20}, version="2", supersedes=True))
    table = DeltaTable(f"{store.uri.removeprefix('file://')}/features")
    if reader == "pandas":
        rows = table.to_pandas(filters=[("split", "=", "train")])[["uri", "pooled"]].to_dict("records")
    elif reader == "duckdb":
        features = table.to_pyarrow_dataset()  # noqa: F841 (DuckDB finds it by its name)
        found = duckdb.sql("select uri, pooled from features where split = 'train'").fetchall()
        rows = [{"uri": uri, "pooled": pooled} for uri, pooled in found]
    else:
        rows = (
            polars.scan_delta(table).filter(polars.col("split") == "train").select("uri", "pooled").collect().to_dicts()
        )
    assert {row["uri"]: row["pooled"][0] for row in rows} == {"a": 1, "b": 20}


def test_columns_that_are_carried_along_are_added(store: FeatureStore) -> None:
    commit(store, "r1", fragment(store, {"a": 1}))
    store.carry([pa.field("breed", pa.string())])
    store.carry([pa.field("breed", pa.string())])
    assert store.scan(["breed"]).to_arrow().to_pydict() == {"breed": [None]}
    assert store.scan(["uri"], pc.field("breed").is_null()).to_arrow().num_rows == 1
    with pytest.raises(InvalidInput, match="'breed' is int64, in the store it is string"):
        store.carry([pa.field("breed", pa.int64())])
    for name in ("width", "pooled"):
        with pytest.raises(InvalidSpec, match=f"names of the store's own: {name}; rename"):
            store.carry([pa.field(name, pa.string())])


@pytest.mark.parametrize("first", [pa.int64(), pa.float64()])
def test_whole_numbers_become_other_numbers_and_no_row_is_lost(store: FeatureStore, first: pa.DataType) -> None:
    other = pa.float64() if first == pa.int64() else pa.int64()
    assert store.carry([pa.field("age", first), pa.field("breed", pa.string())])[0].type == first
    commit(store, "r1", fragment(store, {"a": 1}))
    commit(store, "r2", fragment(store, {"b": 2}))
    before = store.scan().to_arrow().sort_by("uri")
    version = store.features().version()
    assert store.carry([pa.field("age", other)]) == (pa.field("age", pa.float64()),)
    after = store.scan().to_arrow().sort_by("uri")
    assert after.schema.field("age").type == pa.float64()
    assert after.drop_columns(["age"]).to_pylist() == before.drop_columns(["age"]).to_pylist()
    assert after.schema.field("pooled").metadata == before.schema.field("pooled").metadata
    assert store.features().version() == version + (first == pa.int64())
    store.carry([pa.field("age", pa.int64())])
    assert store.features().version() == version + (first == pa.int64())
    commit(store, "r3", fragment(store, {"c": 3}))
    assert store.scan().count() == 3


def test_the_columns_of_a_table() -> None:
    assert features_schema(SPEC).names == [
        "uri", "version", "label", "split", "width", "height", "sha256", "pooled", "map", "run_id", "extracted_at",
        "ds",
    ]  # fmt: skip
