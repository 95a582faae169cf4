"""A proxy on loopback whose answers come late, as those of a server far away."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_CHUNK = 2**16


class _Proxy(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, server: tuple[str, int], seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.server = server
        self.seconds = seconds


class _Connection(socketserver.BaseRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        """Passes requests on at once, and the beginning of each answer after a while."""
        with socket.create_connection(self.server.server) as beyond:
            asked = threading.Event()
            threading.Thread(target=self._pass_on, args=(beyond, asked), daemon=True).start()
            while chunk := beyond.recv(_CHUNK):
                if asked.is_set():
                    asked.clear()
                    time.sleep(self.server.seconds)
                self.request.sendall(chunk)

    def _pass_on(self, beyond: socket.socket, asked: threading.Event) -> None:
        try:
            while chunk := self.request.recv(_CHUNK):
                asked.set()
                beyond.sendall(chunk)
            beyond.shutdown(socket.SHUT_WR)
        except OSError:
            beyond.close()


@contextmanager
def slow_proxy(endpoint: str, seconds: float) -> Iterator[str]:
    """Runs a proxy to a server on loopback.

    Args:
        endpoint: The server's address, such as `http://127.0.0.1:7070`.
        seconds: How much later answers come.

    Yields:
        The proxy's address.
    """
    host, _, port = endpoint.removeprefix("http://").partition(":")
    with _Proxy((host, int(port)), seconds) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            thread.join()
