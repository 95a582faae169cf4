"""A GCS server on loopback: fake-gcs-server, and before it what it does not know of GCS's XML interface.

gcsfs speaks the JSON interface, `deltalake` the XML one. fake-gcs-server answers XML reads but no XML writes, and lists
without `start-after`; both are translated to JSON here. Whether an object may be created is decided there.
"""

import email.utils
import json
import subprocess
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.support.built_tools import find_built
from tests.support.s3_servers import free_port
from tests.support.servers import SilentHandler


class XmlInterface:
    """A WSGI application that translates XML requests into JSON ones."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._local = threading.local()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        request = Request(environ)
        bucket, _, name = request.path.lstrip("/").partition("/")
        answer = self._list(bucket, request) if not name else self._object(bucket, name, request)
        return answer(environ, start_response)

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session

    def _object(self, bucket: str, name: str, request: Request) -> Response:
        quoted = urllib.parse.quote(name, safe="")
        if request.method == "PUT":
            query = {"uploadType": "media", "name": name}
            if generation := request.headers.get("x-goog-if-generation-match"):
                query["ifGenerationMatch"] = generation
            url = f"{self._backend}/upload/storage/v1/b/{bucket}/o"
            done = self._session.post(url, params=query, data=request.get_data())
            return self._answer(done, b"")
        url = f"{self._backend}/storage/v1/b/{bucket}/o/{quoted}"
        if request.method == "DELETE":
            return self._answer(self._session.delete(url), b"")
        meta = self._session.get(url)
        if not meta.ok:
            return Response(b"", meta.status_code)
        headers = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
        found = self._session.get(url, params={"alt": "media"}, headers=headers)
        answer = self._answer(meta, b"" if request.method == "HEAD" else found.content)
        answer.status_code = found.status_code
        answer.headers["Content-Length"] = str(len(found.content))
        if "Content-Range" in found.headers:
            answer.headers["Content-Range"] = found.headers["Content-Range"]
        return answer

    @staticmethod
    def _answer(done: requests.Response, body: bytes) -> Response:
        answer = Response(body, done.status_code)
        if done.ok and done.content:
            reported = json.loads(done.content)
            answer.headers["ETag"] = f'"{reported["etag"]}"'
            answer.headers["x-goog-generation"] = str(reported["generation"])
            answer.headers["Last-Modified"] = email.utils.formatdate(usegmt=True)
        return answer

    def _list(self, bucket: str, request: Request) -> Response:
        query = {name: request.args[name] for name in ("prefix", "delimiter") if name in request.args}
        reported = self._session.get(f"{self._backend}/storage/v1/b/{bucket}/o", params=query).json()
        after = request.args.get("start-after", "")
        contents = "".join(
            f"<Contents><Key>{escape(item['name'])}</Key><Size>{item['size']}</Size>"
            f"<LastModified>{item['updated']}</LastModified><ETag>{escape(item['etag'])}</ETag></Contents>"
            for item in reported.get("items", [])
            if item["name"] > after
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>"
            for prefix in reported.get("prefixes", [])
        )
        body = f"<ListBucketResult>{contents}{prefixes}<IsTruncated>false</IsTruncated></ListBucketResult>"
        return Response(body, content_type="application/xml")


@contextmanager
def gcs_server(folder: Path) -> Iterator[str]:
    """Runs fake-gcs-server with an empty bucket, and points fsspec, deltalake and children to it; yields the bucket.

    Args:
        folder: Where the credentials go that name the server.
    """
    port = free_port()
    backend = f"http://127.0.0.1:{port}"
    command = [
        str(find_built("fake-gcs-server", "FAKE_GCS_SERVER", "fake-gcs-server")),
        "-backend=memory", "-scheme=http", "-host=127.0.0.1", f"-port={port}",
        f"-external-url={backend}", f"-public-host=127.0.0.1:{port}", "-log-level=error",
    ]  # fmt: skip
    server = make_server("127.0.0.1", 0, XmlInterface(backend), threaded=True, request_handler=SilentHandler)
    thread = threading.Thread(target=server.serve_forever)
    key = folder / "key.json"
    base = {"gcs_base_url": f"http://127.0.0.1:{server.port}", "disable_oauth": True}
    key.write_text(json.dumps({**base, "client_email": "", "private_key": "", "private_key_id": ""}))
    bucket = f"bucket-{uuid.uuid4()}"
    with pytest.MonkeyPatch.context() as patch, subprocess.Popen(command) as process:
        thread.start()
        patch.setenv("STORAGE_EMULATOR_HOST", backend)
        patch.setenv("GOOGLE_SERVICE_ACCOUNT", str(key))
        # Without it gcsfs asks a gRPC interface what kind of bucket this is, which nobody answers.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        try:
            _make_bucket(backend, bucket)
            yield bucket
        finally:
            process.terminate()
            server.shutdown()
            thread.join()


def _make_bucket(backend: str, bucket: str) -> None:
    session = requests.Session()
    patient = requests.adapters.HTTPAdapter(max_retries=requests.adapters.Retry(10, backoff_factor=0.1))
    session.mount("http://", patient)
    session.get(f"{backend}/_internal/healthcheck").raise_for_status()
    session.post(f"{backend}/storage/v1/b", params={"project": "tests"}, json={"name": bucket}).raise_for_status()
