"""An S3 server on loopback that can be told to answer wrongly."""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

Environ = dict[str, Any]
Fault = Callable[[Environ], str | None]

LOST, REFUSED = "lost", "refused"


class Faults:
    """Stands before a WSGI application and spoils some of its answers.

    Attributes:
        fault: Given a request, says whether its answer is `LOST` after all was done, the request `REFUSED` before
            anything was, or neither.
        reported: What it said, in order, without the requests that it let pass.
        bucket: The name of a bucket of its own: all of moto's servers in a process share what they hold.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self.fault: Fault = lambda _: None
        self.reported: list[str] = []
        self.bucket = f"bucket-{uuid.uuid4()}"

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        fault = self.fault(environ)
        if fault is None:
            return self._application(environ, start_response)
        self.reported.append(fault)
        if fault == LOST:
            list(self._application(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", "0")])
        return [b""]


class SilentHandler(WSGIRequestHandler):
    """Writes no line a request."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 (werkzeug's name)
        pass


@contextmanager
def s3_environment(endpoint: str) -> Iterator[None]:
    """Points fsspec, deltalake and children to an S3 server by environment variables."""
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        forget_endpoints()
        yield
    forget_endpoints()


def forget_endpoints() -> None:
    """Lets s3fs look for its endpoint again: its file systems are kept by their options, which do not have it."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def s3_server() -> Iterator[Faults]:
    """Runs moto with an empty bucket, and points fsspec, deltalake and children to it by environment variables."""
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    faults = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faults, threaded=True, request_handler=SilentHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with s3_environment(f"http://127.0.0.1:{server.port}"):
        boto3.client("s3").create_bucket(Bucket=faults.bucket)
        try:
            yield faults
        finally:
            server.shutdown()
            thread.join()
