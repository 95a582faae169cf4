"""Buckets read through obstore: keys, versions and errors are those of fsspec's own file system of S3."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from urllib.parse import parse_qs

import boto3
import fsspec
import pytest
from fsspec.config import conf
from fsspec.registry import _registry

from schemas.buckets import BucketFileSystem, is_read_by_obstore, stores
from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef, image_version
from schemas.storage import Reach, Storage, canonical_uri, file_system, input_file_system, use_storage
from schemas.storage import attempts as storage_attempts
from tests.support.s3_servers import listed_keys
from tests.support.servers import s3_environment, s3_server
from tests.support.web import SILENCE, Answer, Asked, web_server
from transforms.folders import IgnoredFiles
from transforms.images import fetch_image
from transforms.sources import ListingRules, find_sources, list_source

PLAIN_KEYS = (
    "a/1.jpg", "a/b/2.jpg", "a/b/3.JPG", "a b/c+d.jpg", "100%.jpg", "a%20b.jpg", "a%2Fb.jpg", "caf\u00e9.jpg",
    "cafe\u0301.jpg", "a#b?c.jpg", "[1]/{2}*.jpg", "~a'b(c)!.jpg", "a:b@c=d&e;f,g$.jpg", "back\\slash.jpg",
    "\u732b.jpg",
)  # fmt: skip
KEYS_THAT_ARE_NO_PATHS = ("a//4.jpg", "/5.jpg", "//6.jpg", "a/./7.jpg", "a/../8.jpg")
BOTH = pytest.mark.parametrize("storage", Storage)


@pytest.fixture(autouse=True)
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in ("_ATTEMPTS", "_ATTEMPTS_IF_THROTTLED"):
        monkeypatch.setattr(storage_attempts, most, 1)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of odd keys, each with its own name as its content, and a folder's placeholder."""
    with s3_server() as server:
        client = boto3.client("s3")
        for key in (*PLAIN_KEYS, *KEYS_THAT_ARE_NO_PATHS):
            client.put_object(Bucket=server.bucket, Key=key, Body=key.encode())
        client.put_object(Bucket=server.bucket, Key="a/", Body=b"")
        yield server.bucket


def ref(uri: str) -> ImageRef:
    return ImageRef(uri, "", None)


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_a_key_is_read_as_it_is(bucket: str, key: str) -> None:
    uri = f"s3://{bucket}/{key}"
    fs, path = input_file_system(uri)
    assert isinstance(fs, BucketFileSystem)
    assert fetch_image(ref(uri), 1000) == key.encode()
    assert (canonical_uri(uri), fs.unstrip_protocol(path)) == (uri, uri)


@pytest.mark.parametrize("key", KEYS_THAT_ARE_NO_PATHS)
def test_a_key_that_is_no_path_is_read_all_the_same(bucket: str, key: str) -> None:
    assert fetch_image(ref(f"s3://{bucket}/{key}"), 1000) == key.encode()


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_versions_do_not_depend_on_who_reads(bucket: str, key: str) -> None:
    uri = f"s3://{bucket}/{key}"
    ours, theirs = (fs.info(path) for fs, path in (input_file_system(uri), file_system(uri)))
    assert image_version(ours) == image_version(theirs)
    assert {name: ours[name] for name in ("name", "size", "type", "LastModified")} == {
        name: theirs[name] for name in ("name", "size", "type", "LastModified")
    }


def test_an_object_in_parts_has_the_same_version() -> None:
    with s3_server() as server:
        fs = fsspec.filesystem("s3")
        with fs.open(f"{server.bucket}/large.jpg", "wb", block_size=5 * 2**20) as file:
            file.write(bytes(6 * 2**20))
        uri = f"s3://{server.bucket}/large.jpg"
        versions = {image_version(fs.info(path)) for fs, path in (input_file_system(uri), file_system(uri))}
        assert len(versions) == 1
        assert "-" in versions.pop()


def listed(uri: str, storage: Storage) -> tuple[list[tuple[str, str, int]], int]:
    rules, ignored = ListingRules(storage=storage), IgnoredFiles()
    batches = [batch for source in find_sources([uri], rules=rules) for batch in list_source(source, rules, ignored)]
    rows = [(row["uri"], row["version"], row["_size"]) for batch in batches for row in batch.to_pylist()]
    return sorted(rows), ignored.files


@pytest.mark.parametrize("place", ["", "/a", "/a/b", "/a b", "/[[]1]/*", "/a/**", "/*.jpg", "/**/*.jpg", "/a/1.jpg"])
def test_a_listing_does_not_depend_on_who_lists(bucket: str, place: str) -> None:
    ours, theirs = (listed(f"s3://{bucket}{place}", storage) for storage in Storage)
    assert ours == theirs
    assert ours[0]


def test_a_bucket_whose_keys_are_paths_needs_nothing_of_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as server:
        for key in PLAIN_KEYS:
            boto3.client("s3").put_object(Bucket=server.bucket, Key=key, Body=key.encode())
        boto3.client("s3").put_object(Bucket=server.bucket, Key="a/b/", Body=b"")
        expected = listed(f"s3://{server.bucket}", Storage.FSSPEC)
        monkeypatch.setattr(BucketFileSystem, "_listed_whole", None)
        assert listed(f"s3://{server.bucket}", Storage.OBSTORE) == expected
        assert len(expected[0]) == len(PLAIN_KEYS)


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 3), (2, 4), (2, None), (None, 3), (-3, None), (1, -1), (4, 4), (6, 9), (90, 99)],
)
def test_ranges(bucket: str, start: int | None, end: int | None) -> None:
    fs, path = input_file_system(f"s3://{bucket}/a/1.jpg")
    assert fs.cat_file(path, start=start, end=end) == b"a/1.jpg"[start:end]
    with fs.open(path, "rb") as file:
        file.seek(2)
        assert file.read(3) == b"1.j"


@pytest.mark.parametrize(
    "given",
    [
        {"s3_additional_kwargs": {"ExpectedBucketOwner": "1"}},
        {"version_aware": True},
        {"client_kwargs": {"verify": False}},
    ],
)
def test_what_only_fsspec_can_follow_is_left_to_it(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf, "s3", given)
    assert not isinstance(input_file_system("s3://bucket/a.jpg")[0], BucketFileSystem)


@pytest.mark.parametrize(("protocol", "bucket"), [("s3", "bucket"), ("gs", "bucket"), ("abfs", "container")])
def test_the_configuration_is_looked_through_once_until_it_changes(
    protocol: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = mock.Mock(wraps=stores.untranslated)
    monkeypatch.setattr(stores, "untranslated", looks)
    given: dict[str, Any] = {"listings_expiry_time": 1234.5, "nested": {}}
    monkeypatch.setitem(conf, protocol, given)
    found = [is_read_by_obstore(protocol, bucket, f"{number}.jpg") for number in range(100)]
    assert (set(found), looks.call_count) == ({True}, 1)
    given["nested"]["unknown"] = True  # In place, as `conf["s3"]["client_kwargs"]["verify"] = False` is.
    assert not is_read_by_obstore(protocol, bucket, "a.jpg")
    del given["nested"]["unknown"]
    assert is_read_by_obstore(protocol, bucket, "a.jpg")
    monkeypatch.delitem(conf, protocol)
    assert is_read_by_obstore(protocol, bucket, "a.jpg")


@pytest.mark.parametrize(
    "uri", ["s3://arn:aws:s3:us-east-1:1:accesspoint/a/b.jpg", "s3://express--use1-az4--x-s3/a.jpg", "memory://a/b.jpg"]
)
def test_what_is_no_plain_bucket_is_left_to_fsspec(uri: str) -> None:
    assert not isinstance(input_file_system(uri)[0], BucketFileSystem)


def test_a_file_system_that_a_user_has_registered_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
        protocol = "s3"

    monkeypatch.setitem(_registry, "s3", Own)
    assert isinstance(input_file_system("s3://bucket/a.jpg")[0], Own)


def refusal(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>says the server</Message></Error>".encode()


@contextmanager
def read_from(endpoint: str, storage: Storage) -> Iterator[str]:
    """Points to an endpoint, with one attempt a read and short timeouts."""
    limits = {"connect_timeout": 1, "read_timeout": 1, "retries": {"mode": "standard", "max_attempts": 1}}
    with s3_environment(endpoint), pytest.MonkeyPatch.context() as patch:
        patch.setitem(conf, "s3", {"config_kwargs": limits, "use_listings_cache": False})
        patch.setattr(fsspec.get_filesystem_class("s3"), "retries", 1)
        use_storage(storage)
        yield "s3://bucket/a.jpg"


def code_of(endpoint: str, storage: Storage) -> str:
    with read_from(endpoint, storage) as uri, pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(uri, "v", 3), 1000)
    assert "\n" not in caught.value.message
    return str(caught.value.code)


@BOTH
@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (403, "AccessDenied", "permission_denied"),
        (403, "InvalidAccessKeyId", "permission_denied"),
        (403, "SignatureDoesNotMatch", "permission_denied"),
        (403, "RequestTimeTooSkewed", "permission_denied"),
        (404, "NoSuchKey", "not_found"),
        (404, "NoSuchBucket", "not_found"),
        (400, "InvalidRequest", "unreadable"),
        (429, "TooManyRequests", "too_many_requests"),
        (500, "InternalError", "server_error"),
        (503, "SlowDown", "server_error"),
    ],
)
def test_a_refusal_has_the_same_code_whoever_reads(storage: Storage, status: int, said: str, code: str) -> None:
    with web_server(lambda _: Answer(refusal(said), status, {"Content-Type": "application/xml"})) as server:
        assert code_of(server.url, storage) == code


@BOTH
@pytest.mark.parametrize(("said", "code"), [("ExpiredToken", "permission_denied"), ("KeyTooLongError", "invalid_uri")])
def test_an_image_is_read_at_once_and_so_more_is_told_than_to_a_lookup(storage: Storage, said: str, code: str) -> None:
    with web_server(lambda _: Answer(refusal(said), 400)) as server:
        assert code_of(server.url, storage) == code


@BOTH
def test_a_server_that_does_not_answer_has_the_same_code_whoever_reads(storage: Storage) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert code_of(refused, storage) == "connection_refused"
    assert code_of("http://no-such-host.invalid", storage) == "unknown_host"
    with web_server(lambda _: SILENCE) as server:
        assert code_of(server.url, storage) == "timeout"


def dripping() -> Iterator[bytes]:
    while True:
        time.sleep(0.05)
        yield b"x"


@BOTH
@pytest.mark.parametrize("size", [None, 100_000])
def test_an_answer_that_drips_ends_with_the_time_of_its_image(storage: Storage, size: int | None) -> None:
    headers = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT", "Content-Length": "100000"}
    with web_server(lambda _: Answer(dripping(), headers=headers)) as server, read_from(server.url, storage) as uri:
        began = time.monotonic()
        with pytest.raises(ImageError) as caught:
            fetch_image(ImageRef(uri, "v", size), 200_000, Reach(seconds=0.9))
        assert time.monotonic() - began < 5
    assert caught.value.code == FailureCode.TIMEOUT


def test_an_answer_that_breaks_off_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_attempts, "_ATTEMPTS", 2)
    broken = iter([True])

    def site(asked: Asked) -> Answer:
        headers = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        if next(broken, False):
            return Answer(b"ab", headers={**headers, "Content-Length": "3"})
        return Answer(b"abc", headers=headers)

    with web_server(site) as server, read_from(server.url, Storage.OBSTORE) as uri:
        assert fetch_image(ImageRef(uri, "v", 3), 1000) == b"abc"


def test_an_answer_without_a_length_is_read_by_fsspec() -> None:
    def site(asked: Asked) -> Answer:
        headers = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        return Answer(b"abc" if asked.method == "HEAD" else [b"ab", b"c"], headers=headers)

    with web_server(site) as server, read_from(server.url, Storage.OBSTORE) as uri:
        assert fetch_image(ImageRef(uri, "v", 3), 1000) == b"abc"


FLAT = [f"flat/{number:05}.jpg" for number in range(2345)]
NESTED = sorted(f"deep/{number % 7}/{number % 13}/{number:05}.jpg" for number in range(2345))


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        (FLAT, ""),
        (FLAT, "/flat"),
        (NESTED, ""),
        (NESTED, "/deep/3"),
        (sorted([*FLAT, *NESTED, "deep/.hidden/1.jpg", "deep/.hidden/2.jpg", "deep/notes.txt"]), ""),
        (sorted([*FLAT, "flat//odd.jpg"]), "/flat"),
        (sorted([*FLAT, "flat/folder.jpg/", "flat/other/"]), "/flat"),
        (sorted([*FLAT, "/flat/00001.jpg"]), ""),
        (sorted([*FLAT, *(f"/{key}" for key in FLAT[:5])]), ""),
    ],
)
def test_a_listing_of_many_pages_has_every_key_once(keys: list[str], place: str) -> None:
    expected = [f"s3://bucket/{key}" for key in keys if key.endswith(".jpg") and "/.hidden" not in key]
    expected = [uri for uri in expected if uri.startswith(f"s3://bucket{place}/")]
    with web_server(listed_keys(keys)) as server, read_from(server.url, Storage.OBSTORE):
        found, ignored = listed(f"s3://bucket{place}", Storage.OBSTORE)
    assert [uri for uri, _, _ in found] == sorted(expected)
    assert ignored == (2 if "deep/notes.txt" in keys else 0)


def test_a_flat_folder_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BucketFileSystem, "ls", None)
    with web_server(listed_keys(FLAT)) as server, read_from(server.url, Storage.OBSTORE):
        fs, path = input_file_system("s3://bucket/flat")
        assert isinstance(fs, BucketFileSystem)
        assert [len(page) for page in fs.stream(path)] == [1000, 1000, 345]
        assert len(listed("s3://bucket/flat", Storage.OBSTORE)[0]) == len(FLAT)


def test_what_may_be_in_a_folder_is_asked_for_by_name_and_not_listed() -> None:
    """Tables of images and folders of splits: one HEAD each, and of the folder itself the listings that look at it."""
    with web_server(listed_keys(FLAT)) as server, read_from(server.url, Storage.OBSTORE):
        find_sources(["s3://bucket/flat"])
        looked_up = [asked.path for asked in server.asked if asked.method == "HEAD"]
        listings = [asked.path for asked in server.asked if asked.method == "GET"]
    assert "/bucket/flat/train/metadata.csv" in looked_up
    assert len(looked_up) == len(set(looked_up))
    assert {parse_qs(path.partition("?")[2])["prefix"][0] for path in listings} == {"flat/"}


def test_a_bucket_is_read_where_s3fs_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server(listed_keys(NESTED)) as server, read_from(server.url, Storage.OBSTORE):
        for protocol in ("s3", "s3a"):
            monkeypatch.delitem(_registry, protocol, raising=False)
        monkeypatch.setitem(sys.modules, "s3fs", None)
        with pytest.raises(ImportError):
            fsspec.get_filesystem_class("s3")
        found, _ = listed("s3://bucket/deep", Storage.OBSTORE)
        assert len(found) == len(NESTED)
        assert fetch_image(ref(found[0][0]), 1000) == b"x"
        monkeypatch.undo()
