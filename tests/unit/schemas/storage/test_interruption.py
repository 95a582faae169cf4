"""A signal that comes beside a commit: what is said then is said of the last one, and none begins afterwards."""

import threading
import time

import pytest

from schemas.errors import RunFailed
from schemas.storage import interruption


@pytest.fixture(autouse=True)
def no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_signals", [])


def test_a_commit_that_is_under_way_is_waited_for_and_none_begins_after_it() -> None:
    begun, landed = threading.Event(), threading.Event()

    def commit() -> None:
        with interruption.committing():
            begun.set()
            time.sleep(0.2)
            landed.set()

    committing = threading.Thread(target=commit)
    committing.start()
    assert begun.wait(5)
    interruption.interrupt(15)
    assert not interruption.commits_have_ended(0.01)
    assert interruption.commits_have_ended(5)
    assert landed.is_set()
    with pytest.raises(RunFailed), interruption.committing():
        raise AssertionError("a commit began")
    committing.join()
    assert interruption.interrupted_by() == 15
