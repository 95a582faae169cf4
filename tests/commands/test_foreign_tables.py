"""Stores that another program has changed: refused by one sentence, or read right, by every command."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from pipelines import explore, extract, inspect, maintain, search, train
from schemas.errors import RunFailed, StoreNotFound, UnsupportedTable
from schemas.store import FeatureStore
from schemas.tables import FLOATS, feature_array
from tests.conftest import extract as extract_again
from tests.conftest import write_pictures

LAYER = "conv_pw_13_relu"

FEATURES: Mapping[str, tuple[list[str], list[str]]] = {
    "deletionVectors": (["deletionVectors"], ["deletionVectors"]),
    "columnMapping": (["columnMapping"], ["columnMapping"]),
    "v2Checkpoint": (["v2Checkpoint"], ["v2Checkpoint"]),
    "aFeatureOfTomorrow": ([], ["aFeatureOfTomorrow"]),
}
COMMANDS: Mapping[str, Callable[[Path, Path], tuple[Callable[[Sequence[str]], int], list[str]]]] = {
    "extract": lambda store, out: (extract.main, [f"--input={out}/pictures", f"--output={store}"]),
    "train": lambda store, out: (train.main, [f"--features={store}", f"--output={out}/model"]),
    "inspect": lambda store, _: (inspect.main, [str(store)]),
    "coverage": lambda store, out: (inspect.main, [str(store), "--coverage", f"--input={out}/pictures"]),
    "compact": lambda store, _: (maintain.main, [str(store), "compact"]),
    "vacuum": lambda store, _: (maintain.main, [str(store), "vacuum", "--retention=0h"]),
    "takedown": lambda store, out: (maintain.main, [str(store), "takedown", f"--uris={out}/gone.txt"]),
}


@pytest.fixture
def store(small_store: FeatureStore, tmp_path: Path) -> Path:
    shutil.copytree(small_store.uri.removeprefix("file://"), tmp_path / "store")
    write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "gone.txt").write_text("file:///a.jpg\n")
    return tmp_path / "store"


def append_to_log(table: Path, *actions: Mapping[str, Any]) -> None:
    newest = max(int(entry.stem) for entry in (table / "_delta_log").glob("*.json"))
    entry = table / "_delta_log" / f"{newest + 1:020}.json"
    entry.write_text("".join(json.dumps(action) + "\n" for action in actions))


def metadata_of(table: Path) -> dict[str, Any]:
    actions = map(json.loads, (table / "_delta_log" / f"{0:020}.json").read_text().splitlines())
    return next(action["metaData"] for action in actions if "metaData" in action)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("feature", FEATURES)
def test_features_of_tables_that_are_not_known_are_refused(
    feature: str, command: str, store: Path, tmp_path: Path
) -> None:
    readers, writers = FEATURES[feature]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": readers, "writerFeatures": writers}
    append_to_log(store / "features", {"protocol": protocol})
    before = content(store)
    main, arguments = COMMANDS[command](store, tmp_path)
    with pytest.raises(UnsupportedTable, match=feature):
        main(arguments)
    assert content(store) == before


@pytest.mark.parametrize(
    ("properties", "feature"),
    [
        ({"delta.columnMapping.mode": "name"}, "Column mapping"),
        ({"delta.enableChangeDataFeed": "true"}, "changeDataFeed"),
        ({"delta.constraints.small": "width < 9"}, "checkConstraints"),
        ({"delta.appendOnly": "true"}, "appendOnly"),
        ({"delta.enableDeletionVectors": "true"}, "deletionVectors"),
    ],
)
@pytest.mark.parametrize("command", ["extract", "compact"])
def test_features_that_properties_turn_on_are_refused(
    properties: Mapping[str, str], feature: str, command: str, store: Path, tmp_path: Path
) -> None:
    """Protocols before the third name no features."""
    metadata = metadata_of(store / "features")
    metadata["configuration"] |= properties
    protocol = {"minReaderVersion": 2, "minWriterVersion": 6}
    append_to_log(store / "features", {"protocol": protocol}, {"metaData": metadata})
    main, arguments = COMMANDS[command](store, tmp_path)
    with pytest.raises(UnsupportedTable, match=feature):
        main(arguments)


@pytest.mark.parametrize(
    ("key", "feature"),
    [
        ("delta.generationExpression", "generatedColumns"),
        ("delta.identity.start", "identityColumns"),
        ("delta.invariants", "invariants"),
    ],
)
def test_features_of_columns_are_refused(key: str, feature: str, store: Path, tmp_path: Path) -> None:
    metadata = metadata_of(store / "features")
    schema = json.loads(metadata["schemaString"])
    schema["fields"][0]["metadata"][key] = "1"
    append_to_log(store / "features", {"metaData": {**metadata, "schemaString": json.dumps(schema)}})
    main, arguments = COMMANDS["extract"](store, tmp_path)
    with pytest.raises(UnsupportedTable, match=feature):
        main(arguments)


@pytest.mark.parametrize("versions", [(1, 8), (3, 8), (4, 7), (99, 99)])
@pytest.mark.parametrize("command", COMMANDS)
def test_protocols_of_tomorrow_are_refused_at_once(
    versions: tuple[int, int], command: str, store: Path, tmp_path: Path
) -> None:
    reader, writer = versions
    append_to_log(store / "features", {"protocol": {"minReaderVersion": reader, "minWriterVersion": writer}})
    before, started = content(store), time.monotonic()
    main, arguments = COMMANDS[command](store, tmp_path)
    with pytest.raises(UnsupportedTable):
        main(arguments)
    assert content(store) == before
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("path", ["../../outside.parquet", "/etc/outside.parquet", "ds%3D1/%2E%2E/%2E%2E/x.parquet"])
def test_files_beyond_the_table_are_refused(path: str, store: Path, tmp_path: Path) -> None:
    add = {"path": path, "partitionValues": {"ds": "2026-01-01"}, "size": 1, "modificationTime": 0, "dataChange": True}
    append_to_log(store / "features", {"add": add})
    with pytest.raises(UnsupportedTable, match="names a file beyond its folder"):
        train.main([f"--features={store}", f"--output={tmp_path}/model"])


def lists(*values: Sequence[float | None] | None) -> pa.Array:
    return pa.array(values, pa.list_(pa.float32()))


@pytest.mark.parametrize(
    "values",
    [
        lists([1, 2], [3]),
        lists([1, 2, 3], [4]),
        lists([1, 2], None),
        lists([1, None], [3, 4]),
        lists([], [1, 2, 3, 4]),
        pa.nulls(2, FLOATS),
    ],
)
def test_features_of_another_length_are_no_features(values: pa.Array) -> None:
    with pytest.raises(RunFailed, match="no feature of shape"):
        feature_array(values, (2,))


def test_features_are_not_copied() -> None:
    values = lists([9, 9], [1, 2], [3, 4])[1:]
    array = feature_array(values, (2,))
    np.testing.assert_array_equal(array, [[1, 2], [3, 4]])
    assert array.base is not None


@pytest.mark.parametrize("damage", ["lacks the column", "other lengths", "no value"])
def test_a_file_without_features_is_no_row_of_another_image(damage: str, store: Path) -> None:
    file = next((store / "features").rglob("*.parquet"))
    table = pq.read_table(file)
    index = table.schema.get_field_index(LAYER)
    others = table.column(LAYER).to_pylist()
    if damage == "lacks the column":
        table = table.drop_columns([LAYER])
    else:
        wrong = [others[0][:-1], [*others[1], 0.0]] if damage == "other lengths" else [None, others[1]]
        table = table.set_column(index, LAYER, pa.array([*wrong, *others[2:]], pa.list_(pa.float32())))
    pq.write_table(table, file)
    with pytest.raises(RunFailed):
        FeatureStore.open(str(store)).scan().to_numpy(LAYER)


def test_files_without_their_log_are_no_empty_store(store: Path, tmp_path: Path) -> None:
    shutil.rmtree(store / "features" / "_delta_log")
    before = content(store)
    for command in ("extract", "train", "inspect"):
        main, arguments = COMMANDS[command](store, tmp_path)
        with pytest.raises(StoreNotFound, match="it was not copied whole"):
            main(arguments)
    assert content(store) == before


def _compact(table: DeltaTable) -> None:
    table.optimize.compact()


def _delete(table: DeltaTable) -> None:
    table.delete("uri LIKE '%discs/000.jpg'")


def _update(table: DeltaTable) -> None:
    table.update(updates={"label": "'ring'"}, predicate="label = 'discs'")


def _overwrite(table: DeltaTable) -> None:
    rows = table.to_pyarrow_table()
    views = {pa.string(): pa.string_view(), pa.list_(pa.string()): pa.list_(pa.string_view())}
    kinds = [field.with_type(views.get(field.type, field.type)) for field in rows.schema]
    write_deltalake(table, rows.cast(pa.schema(kinds)), mode="overwrite")


@pytest.mark.parametrize("change", [_compact, _delete, _update, _overwrite])
def test_rows_that_another_writer_has_written_are_rows(
    change: Callable[[DeltaTable], None], small_store: FeatureStore, tmp_path: Path
) -> None:
    """`deltalake` writes strings of another Arrow type than this package does."""
    store, out = tmp_path / "store", tmp_path
    shutil.copytree(small_store.uri.removeprefix("file://"), store)
    pictures = small_store.uri.removeprefix("file://").replace("/store", "/pictures")
    before = _features(store)
    change(DeltaTable(store / "features"))
    again = [f"--input={pictures}", "--labels_from=parent", f"--output={store}"]
    assert extract_again(*again)["extracted"] == (1 if change is _delete else 0)
    assert _features(store) == before
    (out / "gone.txt").write_text(f"file://{pictures}/train/discs/001.jpg\n")
    unsplit = ["--split=hash", "--validation_fraction=0", "--test_fraction=0"]
    assert train.main([f"--features={store}", f"--output={out}/model", *unsplit]) == 0
    for command in ("inspect", "coverage", "takedown", "compact"):
        main, arguments = COMMANDS[command](store, out)
        assert main([text.replace(f"{out}/pictures", pictures) for text in arguments]) == 0, command
    assert maintain.main([str(store), "check", "--deep"]) == 0
    assert search.main([str(store), f"--uri=file://{pictures}/train/discs/000.jpg"]) == 0
    assert explore.main([str(store), f"--output={out}/page", "--thumbnails=0", "--projection=pca"]) == 0
    assert extract_again(*again)["extracted"] == 0
    assert len(_features(store)) == len(before) - 1


def _features(store: Path) -> dict[str, tuple[str, bytes]]:
    scan = FeatureStore.open(str(store)).scan(["uri", "label", LAYER])
    rows = zip(*(scan.to_numpy(name) for name in ("uri", "label", LAYER)), strict=True)
    return {uri: (label, features.tobytes()) for uri, label, features in rows}
