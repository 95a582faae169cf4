"""A store of simple numbers, to which commits are tried again without a pause."""

from pathlib import Path

import pytest

from schemas.delta import transactions
from schemas.store import FeatureStore
from tests.support.fragments import SPEC


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.create(str(tmp_path / "a store #1"), SPEC)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_FIRST_PAUSE_SECONDS", 0.001)
