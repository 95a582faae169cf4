"""Google's buckets: read through obstore, and listed with generations, as anybody or with credentials."""

import datetime
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.config import conf

from schemas.buckets import GoogleFileSystem
from schemas.buckets.google_listing import _Service
from schemas.clouds import Access, google_access, machine
from schemas.errors import InvalidInput, StoreUnreachable
from schemas.images import ImageRef
from schemas.storage import Storage, file_system, input_file_system
from schemas.store import FeatureStore
from tests.support.gcs_server import gcs_server
from tests.support.web import Answer, Asked, web_server
from tests.unit.schemas.buckets.test_file_system import listed
from transforms.images import fetch_image
from transforms.sources import find_sources

KEYS = ("a/1.jpg", "a b/c+d.jpg", "100%.jpg", "a%20b.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "a#b?c.jpg")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket of odd keys, each with its own name as its content."""
    pytest.importorskip("gcsfs", reason="needs gcsfs (the extra gcs), which is absent")
    with gcs_server(tmp_path_factory.mktemp("gcs")) as bucket:
        fs = fsspec.filesystem("gs")
        for key in (*KEYS, "a//2.jpg"):
            fs.pipe_file(f"{bucket}/{key}", key.encode())
        yield bucket


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_read_through_obstore_as_it_is(bucket: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"gs://{bucket}/{key}"
    fs, path = input_file_system(uri)
    assert isinstance(fs, GoogleFileSystem)
    assert fs.info(path)["generation"] == file_system(uri)[0].info(path)["generation"]
    monkeypatch.setattr(type(file_system(uri)[0]), "cat_file", None)
    assert fetch_image(ImageRef(uri, "v", len(key.encode())), 1000) == key.encode()
    assert fs.cat_file(path, start=1, end=4) == key.encode()[1:4]


def test_a_key_that_is_no_path_is_read_by_gcsfs(bucket: str) -> None:
    assert fetch_image(ImageRef(f"gs://{bucket}/a//2.jpg", "v", None), 1000) == b"a//2.jpg"


@pytest.mark.parametrize("place", ["", "/a", "/a b", "/*.jpg", "/a/1.jpg"])
def test_a_listing_and_its_versions_are_those_of_gcsfs(bucket: str, place: str) -> None:
    ours, theirs = (listed(f"gs://{bucket}{place}", storage) for storage in Storage)
    assert ours == theirs
    assert len(ours[0]) >= (1 if place else len(KEYS))


def json_site(keys: Sequence[str], keys_per_page: int = 1000) -> Callable[[Asked], Answer]:
    """Returns the site of a server that lists objects as Google's JSON interface does, a page at a time."""

    def site(asked: Asked) -> Answer:
        given = dict(urllib.parse.parse_qsl(asked.path.partition("?")[2]))
        if "maxResults" not in given:
            return Answer(b"{}", 404)  # None of them is looked up.
        found = [key for key in keys if key.startswith(given.get("prefix", ""))]
        first = int(given.get("pageToken", 0))
        after = first + min(keys_per_page, int(given["maxResults"]))
        items = [{"name": key, "size": "1", "generation": "7"} for key in found[first:after]]
        token = {"nextPageToken": str(after)} if after < len(found) else {}
        return Answer(json.dumps({"items": items, **token}).encode())

    return site


def test_a_flat_folder_is_a_stream_of_pages_with_every_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"flat/{number:05}.jpg" for number in range(2345)] + ["flat//odd.jpg"]
    with web_server(json_site(sorted(keys))) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        fs, path = input_file_system("gs://bucket/flat")
        assert isinstance(fs, GoogleFileSystem)
        pages = fs.stream(path)
        assert len(next(pages)) == 1000
        assert len(server.asked) == 1
        assert [len(page) for page in pages] == [1000, 346]
        monkeypatch.setattr(GoogleFileSystem, "ls", None)
        found, _ = listed("gs://bucket/flat", Storage.OBSTORE)
    assert [uri for uri, _, _ in found] == sorted(f"gs://bucket/{key}" for key in keys)
    assert {version for _, version, _ in found} == {"7"}


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, and a machine that has none; to look for them longer than that is a fault."""
    import google.auth

    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setattr(google.auth, "default", None)
    monkeypatch.setattr(machine, "has_credentials", lambda: False)


@pytest.mark.usefixtures("nobody")
def test_whoever_has_no_credentials_asks_as_anybody_within_seconds() -> None:
    started = time.monotonic()
    assert google_access().options == {"GOOGLE_SKIP_SIGNATURE": "true"}
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("status", "said", "sentence"),
    [
        (401, "Anonymous caller does not have storage.objects.list access", "There are no credentials for the storage"),
        (404, "The specified bucket does not exist.", "There is no bucket photos"),
    ],
)
def test_what_anybody_may_not_list_is_one_sentence(
    status: int, said: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    as_json = json.dumps({"error": {"code": status, "message": said}}).encode()
    as_xml = f"<Error><Code>NoSuchBucket</Code><Message>{said}</Message></Error>".encode()

    def site(asked: Asked) -> Answer:
        return Answer(as_json if asked.path.startswith("/storage/v1/") else as_xml, status)

    with web_server(site) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        for uri in ("gs://photos", "gs://photos/cats", "gs://photos/cats/1.jpg"):
            with pytest.raises(InvalidInput, match=sentence) as caught:
                find_sources([uri])
            assert "\n" not in str(caught.value)
        with pytest.raises(StoreUnreachable):
            FeatureStore.open("gs://photos/store")
    assert time.monotonic() - started < 10


def test_a_token_is_asked_for_again_when_it_expires() -> None:
    tokens = iter("abc")

    def told() -> dict[str, object]:
        seconds = 30 if (token := next(tokens)) == "a" else 3600
        return {"token": token, "expires_at": datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)}

    service = _Service(Access({}, None, credentials=told))
    assert [service.headers()["Authorization"] for _ in range(3)] == ["Bearer a", "Bearer b", "Bearer b"]


@pytest.mark.parametrize(
    ("given", "is_followed"),
    [
        ({}, True),
        ({"token": "anon"}, True),
        ({"token": "key.json", "project": "p"}, True),
        ({"token": "cloud"}, False),
        ({"token": {"client_email": "a"}}, False),
        ({"requester_pays": True}, False),
    ],
)
def test_what_only_gcsfs_can_follow_is_left_to_it(
    given: dict[str, Any], is_followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(conf, "gs", given)
    monkeypatch.setattr("schemas.storage.filesystems.file_system", lambda uri: (fsspec.filesystem("memory"), uri))
    assert isinstance(input_file_system("gs://bucket/a.jpg")[0], GoogleFileSystem) is is_followed


def test_a_file_of_credentials_asks_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    (tmp_path / "user.json").write_text(json.dumps(user))
    monkeypatch.setitem(conf, "gs", {"token": str(tmp_path / "user.json")})
    access = google_access()
    assert access.credentials is not None
    assert "GOOGLE_SKIP_SIGNATURE" not in access.options
    monkeypatch.setitem(conf, "gs", {"token": "anon"})
    assert google_access().options == {"GOOGLE_SKIP_SIGNATURE": "true"}
