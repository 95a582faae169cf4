"""Single rows of a snapshot are read by their numbers, from the row groups that have them."""

import numpy as np
import pytest

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
