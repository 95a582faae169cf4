"""A web server on loopback that answers as a test says, and remembers what it was asked."""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

CHUNK = 2**16


class Asked(NamedTuple):
    """A request: its method, and path and query as they were sent."""

    method: str
    path: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the server says.

    Attributes:
        body: The bytes; pieces are sent in chunks, without a length.
        status: The status.
        headers: Further headers.
    """

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


SILENCE = Answer(status=0)
Site = Callable[[Asked], Answer]


class WebServer(ThreadingHTTPServer):
    """A server of a site.

    Attributes:
        asked: All requests, in order.
        sent: Bytes of bodies that went out.
    """

    daemon_threads = True

    def __init__(self, site: Site) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site
        self.asked: list[Asked] = []
        self.sent = 0
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        asked = Asked(self.command, self.path)
        self.server.asked.append(asked)
        answer = self.server.site(asked)
        if answer is SILENCE:
            self.server.closing.wait()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if isinstance(answer.body, bytes):
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self._send([answer.body] if self.command == "GET" else [])
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command == "GET":
                self._send(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in answer.body)
                self._send([b"0\r\n\r\n"])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self.wfile.write(piece)
                self.server.sent += len(piece)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        pass


@contextmanager
def web_server(site: Site) -> Iterator[WebServer]:
    """Runs a server of a site."""
    server = WebServer(site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
