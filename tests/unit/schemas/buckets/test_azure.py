"""Azure's containers: read, looked up and listed through obstore, with the versions and the credentials of adlfs."""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec
import pytest
from fsspec.config import conf

from schemas.buckets import AzureFileSystem
from schemas.buckets.stores import store_of
from schemas.clouds import azure_access, bucket_options, machine
from schemas.errors import InvalidInput, StoreUnreachable
from schemas.images import ImageRef, image_version
from schemas.storage import Storage, canonical_uri, file_system, input_file_system
from schemas.store import FeatureStore
from tests.support.azure_server import ACCOUNT, KEY, azure_environment, azurite
from tests.support.web import Answer, web_server
from tests.unit.schemas.buckets.test_file_system import listed
from transforms.images import fetch_image
from transforms.sources import find_sources

# adlfs takes "#" and "?" for the end of a path, and so cannot write them.
KEYS = (
    "a/1.jpg",
    "a/b/2.jpg",
    "a b/c+d.jpg",
    "100%.jpg",
    "a%20b.jpg",
    "caf\u00e9.jpg",
    "cafe\u0301.jpg",
    "~a'b(c)!.jpg",
)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A container of odd keys, each with its own name as its content."""
    pytest.importorskip("adlfs", reason="needs adlfs (the extra azure), which is absent")
    with azurite(tmp_path_factory.mktemp("azurite")) as container:
        fs = fsspec.filesystem("abfs")
        for key in KEYS:
            fs.pipe_file(f"{container}/{key}", key.encode())
        yield container


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_read_as_it_is_and_has_the_version_of_adlfs(container: str, key: str) -> None:
    uri = f"az://{container}/{key}"
    fs, path = input_file_system(uri)
    assert isinstance(fs, AzureFileSystem)
    assert fetch_image(ImageRef(uri, "v", len(key.encode())), 1000) == key.encode()
    assert fs.cat_file(path, start=1, end=4) == key.encode()[1:4]
    theirs = file_system(uri)[0].info(path)
    assert image_version(fs.info(path)) == image_version(theirs)
    assert fs.info(path)["size"] == theirs["size"]
    assert canonical_uri(uri) == f"abfs://{container}/{key}"


@pytest.mark.parametrize("place", ["", "/a", "/a/*.jpg", "/a b"])
def test_a_listing_and_its_versions_are_those_of_adlfs(container: str, place: str) -> None:
    ours, theirs = (listed(f"abfs://{container}{place}", storage) for storage in Storage)
    assert ours == theirs
    assert ours[0]


def test_a_uri_may_name_the_account(container: str) -> None:
    uri = f"abfss://{container}@{ACCOUNT}.dfs.core.windows.net"
    assert fetch_image(ImageRef(f"{uri}/a/1.jpg", "v", 7), 1000) == b"a/1.jpg"
    found, _ = listed(f"{uri}/a", Storage.OBSTORE)
    assert [one[0] for one in found] == [f"{uri.replace('abfss', 'abfs')}/{key}" for key in KEYS if key[:2] == "a/"]
    assert canonical_uri(f"{uri}/a/") == f"{uri.replace('abfss', 'abfs')}/a"
    assert 'account_name="other"' in str(store_of("abfs", f"{container}@other.blob.core.windows.net"))


def test_a_container_that_is_not_there_is_one_sentence(container: str) -> None:
    with pytest.raises(InvalidInput, match="There is no bucket no-such-container"):
        find_sources(["abfs://no-such-container/photos"])
    with pytest.raises(StoreUnreachable, match="There is no such container"):
        FeatureStore.open("abfs://no-such-container/store")


KEYS_OF_OURS = {"AZURE_STORAGE_ACCOUNT_NAME": "ours", "AZURE_STORAGE_ACCOUNT_KEY": "aw=="}
IN_CHINA = "DefaultEndpointsProtocol=https;AccountName=ours;EndpointSuffix=core.chinacloudapi.cn"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"connection_string": "AccountName=ours;AccountKey=aw=="}, KEYS_OF_OURS),
        (
            {"connection_string": IN_CHINA},
            {
                "AZURE_STORAGE_ACCOUNT_NAME": "ours",
                "AZURE_STORAGE_ENDPOINT": "https://ours.blob.core.chinacloudapi.cn",
            },
        ),
        (
            {"connection_string": "BlobEndpoint=https://ours.example/;SharedAccessSignature=sv=1&sig=a%3D"},
            {"AZURE_STORAGE_ENDPOINT": "https://ours.example/", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=a%3D"},
        ),
        ({"connection_string": "UseDevelopmentStorage=true"}, {"AZURE_STORAGE_USE_EMULATOR": "true"}),
        ({"account_name": "ours", "account_key": "aw=="}, KEYS_OF_OURS),
        (
            {"account_name": "ours", "anon": True},
            {"AZURE_STORAGE_ACCOUNT_NAME": "ours", "AZURE_SKIP_SIGNATURE": "true"},
        ),
        ({"account_name": "ours", "anon": False}, {"AZURE_STORAGE_ACCOUNT_NAME": "ours"}),
        ({"account_host": "ours.example"}, {"AZURE_STORAGE_ENDPOINT": "https://ours.example"}),
    ],
)
def test_what_is_configured_for_adlfs_is_translated(
    given: Mapping[str, Any], options: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ANON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(conf, "abfs", given)
    assert bucket_options("abfs") == options


@pytest.mark.parametrize("given", [{"credential": object()}, {"version_aware": True}, {"location_mode": "secondary"}])
def test_what_only_adlfs_can_follow_is_left_to_it(given: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf, "abfs", given)
    monkeypatch.setattr("schemas.storage.filesystems.file_system", lambda uri: (fsspec.filesystem("memory"), uri))
    assert not isinstance(input_file_system("abfs://photos/a.jpg")[0], AzureFileSystem)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no credentials, and a machine that has none."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(machine, "has_credentials", lambda: False)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("abfs://photos/cats", "no storage account is named; set AZURE_STORAGE_ACCOUNT_NAME"),
        ("abfss://photos@ours.dfs.core.windows.net/cats", "Unable to locate credentials"),
    ],
)
def test_without_credentials_there_is_one_sentence_within_seconds(uri: str, sentence: str) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidInput, match=sentence) as caught:
        find_sources([uri])
    with pytest.raises(StoreUnreachable, match=sentence):
        FeatureStore.open(uri)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("nobody")
def test_a_secret_in_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "given")
    assert azure_access().credentials is None


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "AuthenticationFailed", "Azure refuses the credentials; renew the key or the token, and check the clock"),
        (403, "AuthorizationFailure", "The network rules of the storage account refuse this machine"),
        (404, "ContainerNotFound", "There is no bucket photos"),
        (401, "NoAuthenticationInformation", "There are no credentials for the storage"),
    ],
)
def test_what_keeps_all_of_a_container_from_being_read_is_one_sentence(status: int, code: str, sentence: str) -> None:
    said = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>says the server\nRequestId:1</Message></Error>"
    headers = {"x-ms-error-code": code, "Content-Type": "application/xml"}
    with (
        web_server(lambda _: Answer(said.encode(), status, headers)) as server,
        azure_environment(f"{server.url}/{ACCOUNT}"),
        pytest.raises(InvalidInput, match=sentence) as caught,
    ):
        find_sources(["abfs://photos/cats"])
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
