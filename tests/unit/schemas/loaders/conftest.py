"""A store whose features tell which row they are of, in many small row groups."""

import numpy as np
import pytest

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import store_of_features

ROWS = 5000
WIDTH = 2048
IN_FIRST_FILE = 4500


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """5,000 rows of 2,048 floats, each the row's number; `later` is in the second of two files; do not change it."""
    folder = tmp_path_factory.mktemp("numbered") / "store"
    features = np.repeat(np.arange(ROWS, dtype=np.float32)[:, None], WIDTH, axis=1)
    numbers = list(range(ROWS))
    labels = [None if number % 10 == 9 else "cat" if number % 2 else "dog" for number in numbers]
    first, second = slice(IN_FIRST_FILE), slice(IN_FIRST_FILE, ROWS)
    store_of_features(folder, features[first], label=labels[first], number=numbers[first])
    uris = [f"file:///later-{number}" for number in numbers[second]]
    return store_of_features(
        folder, features[second], ds="2026-02-01", uri=uris, label=labels[second], number=numbers[second],
        later=[0.5] * len(uris),
    )  # fmt: skip


@pytest.fixture
def scan(numbered: FeatureStore) -> Scan:
    """Features, labels and numbers of all rows."""
    return numbered.scan(["features", "label", "number"])
