"""Rows of a snapshot by their numbers, from the row groups that have them; batches on the threads that read them."""

import datetime
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from schemas.delta import Where
from schemas.errors import UsageError
from schemas.store import FeatureStore
from tests.conftest import store_of_features

WIDE, FIRST, SECOND = 4096, 2100, 5


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A store of two files, the first of several row groups."""
    folder = tmp_path_factory.mktemp("scanned") / "store"
    rows = np.arange(FIRST + SECOND, dtype=np.float32)[:, None].repeat(WIDE, axis=1)
    labels = ["odd" if number % 2 else "even" for number in range(FIRST + SECOND)]
    store_of_features(folder, rows[:FIRST], label=labels[:FIRST])
    uris = [f"file:///later-{number}" for number in range(SECOND)]
    return store_of_features(folder, rows[FIRST:], ds="2026-02-01", label=labels[FIRST:], uri=uris)


def test_rows_are_taken_by_their_numbers_in_any_order(store: FeatureStore) -> None:
    scan = store.scan(["uri", "features", "ds"])
    assert len(scan.to_row_groups()) > 2
    assert sum(file.rows for file in scan.files) == FIRST + SECOND
    everything = scan.to_arrow()
    rows = np.array([FIRST + SECOND - 1, 0, FIRST - 1, FIRST, 0, 17])
    assert scan.take(rows) == everything.take(rows)
    assert scan.take(rows[:0]).num_rows == 0


def test_with_a_condition_numbers_are_those_of_the_rows_that_are_left(store: FeatureStore) -> None:
    scan = store.scan(["uri", "label"], [("label", "=", "odd")])
    rows = np.array([1049, 2, 2])
    assert scan.take(rows) == scan.to_arrow().take(rows)
    numbers = scan.numbers()
    assert scan.all_rows().take(numbers)["uri"].to_pylist() == scan.to_arrow()["uri"].to_pylist()
    assert len(scan.all_rows().numbers()) == FIRST + SECOND


def test_a_scan_of_some_files_has_their_rows(store: FeatureStore) -> None:
    scan = store.scan(["uri", "ds"])
    by_file = [scan.of_files([file.path]).to_arrow() for file in scan.files]
    assert sorted(table.num_rows for table in by_file) == [SECOND, FIRST]
    assert [uri for table in by_file for uri in table["uri"].to_pylist()] == scan.to_arrow()["uri"].to_pylist()
    assert scan.of_files([]).count() == 0


@pytest.mark.parametrize("where", [None, [("label", "=", "odd")]])
def test_features_are_worked_on_by_the_threads_that_read_them_and_come_in_their_order(
    where: Where | None, store: FeatureStore
) -> None:
    threads = set()

    def worked_on(features: np.ndarray) -> np.ndarray:
        threads.add(threading.current_thread())
        time.sleep(0.02 if features[0, 0] < 10 else 0)  # The first are not the first to be done.
        return features

    scan = store.scan(["features"], where)
    parts = list(scan.map_features(worked_on, 100))
    assert len(parts) > 2
    np.testing.assert_array_equal(np.concatenate(parts), scan.to_numpy())
    assert threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)
    assert not list(store.scan(["features"], [("label", "=", "none")]).map_features(worked_on))


def test_what_is_raised_of_features_ends_all_threads(store: FeatureStore) -> None:
    seen = []

    def refused(_: np.ndarray) -> None:
        seen.append(threading.current_thread())
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        list(store.scan(["features"]).map_features(refused))
    assert len(seen) <= 2 * pa.cpu_count()
    assert not any(thread.is_alive() for thread in seen)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ([("uri", "=", "file:///image-1500")], [1500]),
        ([("uri", "=", "file:///later-4")], [FIRST + 4]),
        ([("uri", "=", "file:///nowhere")], []),
        ([("uri", "in", ["file:///image-3", "file:///later-0"])], [3, FIRST]),
        ([("ds", "=", datetime.date(2026, 2, 1)), ("label", "=", "odd")], [FIRST + 1, FIRST + 3]),
        ([("label", "=", None)], []),
        (pc.field("split").is_null() & (pc.field("uri") > "file:///later-2"), [FIRST + 3, FIRST + 4]),
    ],
)
def test_numbers_are_those_of_the_rows_for_which_a_condition_holds(
    where: Where, expected: list[int], store: FeatureStore
) -> None:
    numbers = store.scan(["uri"], where).numbers()
    uris = [f"file:///image-{each}" if each < FIRST else f"file:///later-{each - FIRST}" for each in expected]
    assert sorted(store.scan(["uri"]).take(numbers)["uri"].to_pylist()) == sorted(uris)
    assert numbers.tolist() == sorted(numbers)


def test_row_groups_whose_statistics_exclude_a_condition_are_not_read_for_it(tmp_path: Path) -> None:
    features = np.zeros((FIRST, WIDE), np.float32)
    store = store_of_features(tmp_path / "store", features, uri=[f"file:///{number:05}" for number in range(FIRST)])
    (path,) = (tmp_path / "store" / "features").rglob("*.parquet")
    groups = pq.read_metadata(path)
    chunk = groups.row_group(groups.num_row_groups - 1).column(0)
    assert chunk.path_in_schema == "uri"
    data = bytearray(path.read_bytes())
    data[chunk.dictionary_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    assert store.scan(["uri"], [("uri", "=", "file:///00007")]).numbers().tolist() == [7]
    with pytest.raises(OSError, match="could not verify page integrity"):
        store.scan(["uri"], [("uri", "=", f"file:///{FIRST - 1:05}")]).numbers()


def test_a_column_that_is_not_there_is_named_with_the_nearest(store: FeatureStore) -> None:
    expected = r"^The table has no column 'lable'; did you mean 'label'\?$"
    for ending in (store.scan().to_numpy, lambda name: store.scan().only([name]), lambda name: store.scan([name])):
        with pytest.raises(UsageError, match=expected):
            ending("lable")
    with pytest.raises(UsageError, match=r"^The table has no column 'xyzzy'\.$"):
        store.scan(["xyzzy"])
