"""A machine has credentials of its own where somebody answers for them; that is found out in seconds."""

import socket
import time

import pytest

from schemas.clouds import machine


@pytest.mark.parametrize("is_listening", [True, False])
def test_a_machine_has_credentials_where_somebody_answers(is_listening: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if is_listening:
            server.listen()
        monkeypatch.setattr(machine, "_ADDRESS", server.getsockname())
        machine._answers.cache_clear()
        assert machine.has_credentials() is is_listening
    machine._answers.cache_clear()


def test_nobody_is_waited_for_longer_than_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server whose queue is full, as of one behind a wall, nothing comes back."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        monkeypatch.setattr(machine, "_ADDRESS", server.getsockname())
        machine._answers.cache_clear()
        started = time.monotonic()
        assert not machine.has_credentials()
        assert time.monotonic() - started < 3
    machine._answers.cache_clear()
