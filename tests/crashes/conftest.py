"""Signals in this process as commands have them."""

import signal
from collections.abc import Iterator

import pytest

from pipelines.options import parser as parser_module
from schemas.delta import transactions
from schemas.storage import interruption


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals are handled as in a command that runs by itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, parser_module._interrupt)
    monkeypatch.setattr(interruption, "_signals", [])
    monkeypatch.setattr(transactions, "_FIRST_PAUSE_SECONDS", 0.001)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
