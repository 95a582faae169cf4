"""Listing Google's buckets by its JSON interface: obstore asks another one, which does not tell generations.

The generation is the version of an image in the tables, as gcsfs tells it. The interface has keys as they are, a page
of a thousand at a time; nothing is kept of it.
"""

import datetime
import functools
import json
import logging
import os
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.buckets.listing import PAGE, BucketListing, Info, folder_info
from schemas.buckets.stores import ATTEMPTS, CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, tries_again
from schemas.clouds import GOOGLE_ENVIRONMENT, Access, BucketError, NoCredentialsError, google_access

_OK: Final = 200
_BUCKETS: Final = "/storage/v1/b/"
_ENDPOINT: Final = "https://storage.googleapis.com"
_FIELDS: Final = "name,size,generation,etag,updated,contentEncoding"
_BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_PAUSE_SECONDS: Final = 0.2
_ATTEMPTS_TO_CONNECT: Final = 3
# A token is renewed so long before it expires.
_MARGIN: Final = datetime.timedelta(minutes=1)
_CONNECTIONS: Final = 32


class GoogleListing(BucketListing):
    """What Google lists."""

    def object_info(self, bucket: str, key: str) -> Info:
        """Asks for an object."""
        return _object_info(bucket, _answer(_objects(bucket, f"/{urllib.parse.quote(key, safe='')}"), fields=_FIELDS))

    def level(self, bucket: str, key: str) -> list[Info]:
        """Lists a folder."""
        prefix = f"{key}/" if key else ""
        entries: list[Info] = []
        for answer in _answers(bucket, prefix, PAGE, delimiter="/"):
            # The object that stands for the folder itself has its key.
            entries += [_object_info(bucket, item) for item in answer.get("items", ()) if item["name"] != prefix]
            entries += [folder_info(f"{bucket}/{folder[:-1]}") for folder in answer.get("prefixes", ())]
        return entries

    def pages(self, bucket: str, key: str, most: int = PAGE) -> Iterator[list[Info]]:
        """Lists a folder and all those in it."""
        prefix = f"{key}/" if key else ""
        for answer in _answers(bucket, prefix, most):
            yield [_object_info(bucket, item) for item in answer.get("items", ()) if item["name"] != prefix]

    def is_object(self, entry: Mapping[str, Any]) -> bool:
        """Looks at the key, which is whole."""
        return not entry["name"].endswith("/")


def _answers(bucket: str, prefix: str, most: int, **given: str) -> Iterator[Mapping[str, Any]]:
    token = ""
    while True:
        answer = _answer(
            _objects(bucket),
            prefix=prefix,
            maxResults=str(most),
            fields=f"nextPageToken,prefixes,items({_FIELDS})",
            **given,
            **({"pageToken": token} if token else {}),
        )
        yield answer
        token = answer.get("nextPageToken", "")
        if not token:
            return


def _objects(bucket: str, path: str = "") -> str:
    return f"{_BUCKETS}{bucket}/o{path}"


def _answer(path: str, **query: str) -> Mapping[str, Any]:
    """Asks for JSON.

    Raises:
        FileNotFoundError: If there is no such object, or bucket.
        OSError: If it cannot be had.
    """
    import requests

    service = _service(*map(os.environ.get, GOOGLE_ENVIRONMENT))
    try:
        response = service.get(path, query)
    except requests.RequestException as error:
        raise _as_os_error(error, service.endpoint) from error
    if response.status_code != _OK:
        raise _refusal(response.status_code, response.content, urllib.parse.unquote(path).removeprefix(_BUCKETS))
    answer: Mapping[str, Any] = json.loads(response.content)
    return answer


def _as_os_error(error: Exception, endpoint: str) -> OSError:
    import requests

    is_unknown = "NameResolutionError" in str(error)  # It is the reason of a reason.
    kinds: tuple[tuple[bool, type[OSError], str], ...] = (
        (isinstance(error, requests.Timeout), TimeoutError, "it did not answer in time"),
        (isinstance(error, requests.exceptions.SSLError), ssl.SSLError, "its certificate is not valid"),
        (is_unknown, socket.gaierror, "there is no such host"),
        ("NewConnectionError" in str(error), ConnectionRefusedError, "it refuses connections"),
    )
    found = ((kind, sentence) for applies, kind, sentence in kinds if applies)
    kind, sentence = next(found, (ConnectionError, "the connection broke off"))
    return kind(f"{urllib.parse.urlsplit(endpoint).netloc}: {sentence}")


def _refusal(status: int, body: bytes, path: str) -> OSError:
    try:
        said = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = ""
    reason = f"{status} {said}".strip()
    if status == 404:
        return FileNotFoundError(path)
    if status == 401:
        return NoCredentialsError(reason)
    return PermissionError(reason) if status == 403 else BucketError(reason, status)


class _Service:
    """Google's server, and who asks it. Safe to be used from several threads."""

    def __init__(self, access: Access) -> None:
        self.endpoint = access.endpoint or _ENDPOINT
        self._sessions = {attempts: _session(attempts) for attempts in (1, ATTEMPTS)}
        self._credentials = access.credentials
        self._lock = threading.Lock()
        self._token, self._until = "", datetime.datetime.now(datetime.UTC)

    def get(self, path: str, query: Mapping[str, str]) -> Any:
        """Asks for something, and again if nobody does so outside.

        Raises:
            requests.RequestException: If there is no answer.
        """
        return self._sessions[ATTEMPTS if tries_again() else 1].get(
            self.endpoint + path,
            params=query,
            headers=self.headers(),
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
            allow_redirects=False,
        )

    def headers(self) -> dict[str, str]:
        """Returns the headers by which a request is allowed."""
        if self._credentials is None:
            return {}
        with self._lock:
            if datetime.datetime.now(datetime.UTC) >= self._until:
                found = self._credentials()
                expires_at = found["expires_at"] or datetime.datetime.max.replace(tzinfo=datetime.UTC)
                self._token, self._until = found["token"], expires_at - _MARGIN
            return {"Authorization": f"Bearer {self._token}"}


def _session(attempts: int) -> Any:
    import requests
    from urllib3.util import Retry  # Of which requests is made.

    retries = Retry(
        attempts - 1,
        connect=min(attempts - 1, _ATTEMPTS_TO_CONNECT - 1),
        status_forcelist=_BUSY,
        backoff_factor=_FIRST_PAUSE_SECONDS,
        respect_retry_after_header=False,  # It would be obeyed however long it is.
        raise_on_status=False,
    )
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # It warns of each attempt.
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=retries))
    return session


@functools.lru_cache(maxsize=4)
def _service(*_environment: str | None) -> _Service:
    access = google_access()
    if access.credentials is None and "GOOGLE_SKIP_SIGNATURE" not in access.options:
        raise ImportError("to list Google's buckets needs google-auth (the extra gcs)")
    return _Service(access)


def _object_info(bucket: str, item: Mapping[str, Any]) -> Info:
    """Returns what is known of an object, as gcsfs says it."""
    return {**item, "name": f"{bucket}/{item['name']}", "size": int(item.get("size", 0)), "type": "file"}
