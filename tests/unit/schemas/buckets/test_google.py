"""Google's buckets: objects are read through obstore, as anybody or with credentials; all else is gcsfs's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.config import conf

from schemas.buckets import GoogleFileSystem
from schemas.images import ImageRef
from schemas.storage import Storage, file_system, input_file_system
from tests.support.gcs_server import gcs_server
from tests.unit.schemas.buckets.test_file_system import listed
from transforms.images import fetch_image

KEYS = ("a/1.jpg", "a b/c+d.jpg", "100%.jpg", "a%20b.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "a#b?c.jpg")


@pytest.fixture(autouse=True)
def obstore_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVBASE_STORAGE", raising=False)


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


def test_a_listing_and_its_versions_are_those_of_gcsfs(bucket: str) -> None:
    ours, theirs = (listed(f"gs://{bucket}", storage) for storage in Storage)
    assert ours == theirs
    assert len(ours[0]) >= len(KEYS)


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
    from schemas.buckets.google import google_access

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
