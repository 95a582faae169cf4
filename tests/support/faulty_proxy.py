"""A proxy on loopback that spoils some of the answers of an HTTP server."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.web import Asked

# The connection is cut before the server is asked, or after it has done what was asked; half of the answer comes; late.
RESET, LOST, HALF, SLOW = "reset", "lost", "half", "slow"
SLOW_SECONDS = 0.1
# Says of a request what becomes of its answer: a status in its place, one of the above, or nothing.
Fault = Callable[[Asked], str | None]

_LINGER_NOT = struct.pack("ii", 1, 0)
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "transfer-encoding"})


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on.

    Attributes:
        fault: What becomes of the answer to a request.
        reported: What it said, without the requests that it let pass.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.beyond = server
        self.fault: Fault = lambda _: None
        self.reported: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Says nothing of clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def do_GET(self) -> None:
        """Passes a request on, of whatever method."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        fault = self.server.fault(Asked(self.command, self.path, self.headers["Range"]))
        if fault is not None:
            self.server.reported.append(fault)
        if fault == LOST:
            self._asked_beyond(body)
        if fault in {RESET, LOST}:
            self._reset()
        elif fault is not None and fault.isdecimal():
            self._answer(int(fault), [], b"")
        else:
            time.sleep(SLOW_SECONDS if fault == SLOW else 0)
            self._answer(*self._asked_beyond(body), is_half=fault == HALF)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _asked_beyond(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.beyond)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, is_half: bool = False) -> None:
        given = dict(headers)
        length = given.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if is_half else body)
        if is_half:
            self.wfile.flush()
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        pass


@contextmanager
def faulty_proxy(endpoint: str) -> Iterator[FaultyProxy]:
    """Runs a proxy.

    Args:
        endpoint: The server's address, such as `http://127.0.0.1:7070`.
    """
    proxy = FaultyProxy(endpoint.removeprefix("http://"))
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
