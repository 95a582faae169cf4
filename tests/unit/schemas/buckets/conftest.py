"""What a test of buckets says of the library that reads ends with it."""

import pytest


@pytest.fixture(autouse=True)
def obstore_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVBASE_STORAGE", raising=False)
