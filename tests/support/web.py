"""A web server on loopback that answers as a test says, and remembers what it was asked."""

import dataclasses
import hashlib
import html
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

CHUNK = 2**16


class Asked(NamedTuple):
    """A request: its method, path and query as they were sent, and the range of bytes that it asks for."""

    method: str
    path: str
    range: str | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the server says.

    Attributes:
        body: The bytes; pieces are sent in chunks, without a length unless the headers have one.
        status: The status.
        headers: Further headers.
    """

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


SILENCE = Answer(status=0)
Site = Callable[[Asked], Answer]


def folder_site(root: Path, *, sends_parts: bool = True) -> Site:
    """Returns a site of the files of a folder and below, with a page of links for each folder; queries do not matter.

    Args:
        root: The folder.
        sends_parts: Whether a part of a file is sent where one is asked for, and not the whole file.
    """

    def site(asked: Asked) -> Answer:
        path = root / unquote(asked.path.partition("?")[0]).strip("/")
        if path.is_dir():
            names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in path.iterdir())
            links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in names)
            return Answer(
                f'<html><a href="?C=N;O=D">Name</a><a href="../">up</a>{links}</html>'.encode(), headers=_PAGE
            )
        if not path.is_file():
            return Answer(status=404)
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"', "Content-Type": "application/octet-stream"}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.range or "")
        if not found or not sends_parts:
            return Answer(content, headers=headers)
        start, end = int(found[1]), min(int(found[2] or len(content)) + 1, len(content))
        if start >= len(content):
            return Answer(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
        sent = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        return Answer(content[start:end], status=206, headers={**headers, **sent})

    return site


_PAGE = {"Content-Type": "text/html"}


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
        asked = Asked(self.command, self.path, self.headers["Range"])
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
        elif "Content-Length" in answer.headers:
            self.end_headers()
            self._send(answer.body if self.command == "GET" else [])
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
