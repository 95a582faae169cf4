"""What keeps inputs from reaching beyond this machine, and from waiting for what they do not reach."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final, NoReturn
from unittest import mock

from fsspec.config import conf

from schemas.storage import attempts

_ANONYMOUS: Final = {"s3": {"anon": True}, "gs": {"token": "anon"}, "gcs": {"token": "anon"}}


@contextlib.contextmanager
def no_network() -> Iterator[list[object]]:
    """Refuses connections and look-ups of names, looks for no credentials, and pauses before no further attempt.

    Yields:
        What was asked for.
    """
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> NoReturn:
        asked.append(arguments)
        raise OSError(errno.ENETUNREACH, "There is no network here.")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(attempts, "_FIRST_PAUSE_SECONDS", 0.0),
        mock.patch.dict(conf, _ANONYMOUS),
    ):
        yield asked
