"""Files on the web: URLs as they are named, what a server says as it is, reads that end."""

import dataclasses
import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.http import HTTPFileSystem

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef, image_version
from schemas.storage import Reach, attempts, canonical_uri, faults, file_system, filesystems, open_stream, with_retries
from tests.support.web import SILENCE, Answer, Asked, folder_site, web_server
from transforms.images import fetch_image

LIMIT = 100_000


def fetched(url: str, max_bytes: int = LIMIT) -> bytes:
    return fetch_image(ImageRef(url, "", None), max_bytes)


def failure(url: str, max_bytes: int = LIMIT) -> ImageError:
    with pytest.raises(ImageError) as caught:
        fetched(url, max_bytes)
    return caught.value


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between attempts, which the test does not wait for."""
    waited: list[float] = []
    monkeypatch.setattr(attempts.time, "sleep", waited.append)
    return waited


NAMES = {
    "/raw/a%2Bb%27c%3Ad.jpg?sig=a%2Fb%3D%3D": "/raw/a%2Bb%27c%3Ad.jpg?sig=a%2Fb%3D%3D",
    "/a'b:c+d~(1).jpg?x=[1]&y=%20": "/a'b:c+d~(1).jpg?x=[1]&y=%20",
    "/a//b/../c.jpg": "/a//b/../c.jpg",
    "/a b.jpg": "/a%20b.jpg",
    "/100%.jpg": "/100%25.jpg",
    "/caf\u00e9.jpg": "/caf%C3%A9.jpg",
    "": "/",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_url_is_sent_as_it_is_named(name: str) -> None:
    with web_server(lambda asked: Answer(b"x")) as server:
        uri = canonical_uri(server.url + name)
        assert uri == server.url + name
        fs, path = file_system(uri)
        assert fs.size(path) == 1
        assert fetched(uri) == b"x"
        assert server.asked == [Asked("HEAD", NAMES[name]), Asked("GET", NAMES[name])]


def test_a_redirect_is_followed_as_it_is_named() -> None:
    signed = "/b%2Fc.jpg?sig=a%2Fb%3D%3D"

    def site(asked: Asked) -> Answer:
        return Answer(b"x") if asked.path == signed else Answer(status=302, headers={"Location": signed})

    with web_server(site) as server:
        assert fetched(f"{server.url}/a.jpg") == b"x"
        assert server.asked == [Asked("GET", "/a.jpg"), Asked("GET", signed)]


STATUSES = {
    400: FailureCode.UNREADABLE,
    401: FailureCode.PERMISSION_DENIED,
    403: FailureCode.PERMISSION_DENIED,
    404: FailureCode.NOT_FOUND,
    408: FailureCode.TIMEOUT,
    410: FailureCode.NOT_FOUND,
    429: FailureCode.TOO_MANY_REQUESTS,
    500: FailureCode.SERVER_ERROR,
    502: FailureCode.SERVER_ERROR,
    503: FailureCode.SERVER_ERROR,
}


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_its_code(status: int, pauses: list[float]) -> None:
    with web_server(lambda asked: Answer(status=status)) as server:
        error = failure(f"{server.url}/a.jpg")
        assert error.code == STATUSES[status]
        assert error.code.permanent == (error.code == FailureCode.NOT_FOUND)
        assert "127.0.0.1" not in error.message or status in {404, 410}
        assert len(server.asked) == 1 + len(pauses)
        assert len(pauses) == (0 if status in {401, 403, 404, 410} else 8 if status in {429, 503} else 3)


@pytest.mark.parametrize("status", [403, 429, 500])
def test_looking_up_says_what_the_server_says(status: int) -> None:
    with web_server(lambda asked: Answer(status=status)) as server:
        fs, path = file_system(f"{server.url}/a.jpg")
        for look in (fs.info, fs.exists, fs.isfile, fs.size):
            with pytest.raises(ImageError) as caught, faults.image_errors():
                look(path)
            assert caught.value.code == STATUSES[status]


def test_only_what_is_gone_is_not_there() -> None:
    with web_server(lambda asked: Answer(status=404 if "a" in asked.path else 410)) as server:
        for name in ("a.jpg", "b.jpg"):
            fs, path = file_system(f"{server.url}/{name}")
            assert not fs.exists(path)
            with pytest.raises(FileNotFoundError):
                fs.info(path)


def test_what_keeps_a_server_from_answering_has_its_code(pauses: list[float]) -> None:
    with web_server(lambda asked: Answer(status=302, headers={"Location": asked.path})) as server:
        assert failure(f"{server.url}/loop.jpg").code == FailureCode.TOO_MANY_REDIRECTS
        secure = server.url.replace("http://", "https://")
        assert failure(f"{secure}/a.jpg").code == FailureCode.TLS_ERROR
        assert pauses == []
    assert failure("http://127.0.0.1:9/a.jpg").code == FailureCode.CONNECTION_REFUSED
    assert failure("http://no-such-host.invalid/a.jpg").code == FailureCode.UNKNOWN_HOST
    assert len(pauses) == 3 + 3


@pytest.mark.parametrize("uri", ["http://[bad/x.jpg", "http://127.0.0.1:99999/x.jpg", "http:///x.jpg", "https://"])
def test_what_is_no_url_has_its_code(uri: str) -> None:
    error = failure(uri)
    assert (error.code, error.code.permanent) == (FailureCode.INVALID_URI, True)


def test_a_server_that_never_answers_costs_the_timeout_times_the_attempts(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "READ_TIMEOUT_SECONDS", 0.2)
    reach = Reach(seconds=0.45)  # Two minutes for the minute that a server may be silent.
    with web_server(lambda asked: SILENCE) as server:
        fs, path = file_system(f"{server.url}/a.jpg")
        with pytest.raises(ImageError) as caught:
            with_retries(lambda: fs.info(path), reach)
        assert caught.value.code == FailureCode.TIMEOUT
        with pytest.raises(ImageError) as caught:
            fetch_image(ImageRef(f"{server.url}/a.jpg", "", None), LIMIT, reach)
        assert caught.value.code == FailureCode.TIMEOUT
        assert [asked.method for asked in server.asked] == ["HEAD", "HEAD", "GET", "GET"]


@pytest.mark.parametrize(
    ("asked_for", "waited", "requests"),
    [("2", [2.0], 2), ("0", [0.0], 2), ("Wed, 21 Oct 2015 07:28:00 GMT", [0.0], 2), ("3600", [], 1)],
)
def test_a_pause_that_a_server_asks_for_is_made_if_it_is_short(
    asked_for: str, waited: list[float], requests: int, pauses: list[float]
) -> None:
    def site(asked: Asked) -> Answer:
        return Answer(b"x") if server.asked[:-1] else Answer(status=429, headers={"Retry-After": asked_for})

    with web_server(site) as server:
        if requests == 2:
            assert fetched(f"{server.url}/a.jpg") == b"x"
        else:
            assert failure(f"{server.url}/a.jpg").code == FailureCode.TOO_MANY_REQUESTS
        assert (pauses, len(server.asked)) == (waited, requests)


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"ETag": '"abc"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, "abc"),
        ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, "3-Wed, 21 Oct 2015 07:28:00 GMT"),
        ({}, ""),
    ],
)
def test_the_version_of_a_url(headers: dict[str, str], version: str) -> None:
    with web_server(lambda asked: Answer(b"abc", headers=headers)) as server:
        fs, path = file_system(f"{server.url}/a.jpg")
        assert image_version(fs.info(path)) == version


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_refuses_head_is_asked_by_get(status: int) -> None:
    def site(asked: Asked) -> Answer:
        return Answer(b"abc", headers={"ETag": "e"}) if asked.method == "GET" else Answer(status=status)

    with web_server(site) as server:
        fs, path = file_system(f"{server.url}/a.jpg")
        info = fs.info(path)
        assert (image_version(info), info["size"]) == ("e", 3)


def endless(piece: bytes = bytes(2**16)) -> Iterator[bytes]:
    while True:
        yield piece


def test_a_read_ends_at_the_limit_whatever_the_server_sends() -> None:
    with web_server(lambda asked: Answer(endless())) as server:
        assert failure(f"{server.url}/a.jpg", 1_000_000).code == FailureCode.TOO_MANY_BYTES
        assert failure(f"{server.url}/a.jpg", 999).code == FailureCode.TOO_MANY_BYTES
    assert server.sent < 50_000_000  # Buffers of the two ends are among them.


def test_a_size_that_is_a_lie_does_not_lift_the_limit() -> None:
    with web_server(lambda asked: Answer(bytes(5000))) as server:
        with pytest.raises(ImageError) as caught:
            fetch_image(ImageRef(f"{server.url}/a.jpg", "", 10), 1000)
        assert caught.value.code == FailureCode.TOO_MANY_BYTES
        assert len(fetch_image(ImageRef(f"{server.url}/a.jpg", "", 10), 5000)) == 5000


def test_a_part_is_what_the_server_holds_there(tmp_path: Path) -> None:
    """As it holds it, packed or not; nothing beyond the end; from the beginning on without asking for parts."""
    content = gzip.compress(random.Random(0).randbytes(5000))
    (tmp_path / "a.gz").write_bytes(content)
    site = folder_site(tmp_path)

    def packed(asked: Asked) -> Answer:
        answer = site(asked)
        return dataclasses.replace(answer, headers={**answer.headers, "Content-Encoding": "gzip"})

    for answers in (site, packed):
        with web_server(answers) as server:
            fs, path = file_system(f"{server.url}/a.gz")
            for start, end in ((0, 6), (100, 200), (4000, None), (4990, 10**6), (10**6, 2 * 10**6), (7, 7)):
                assert fs.cat_file(path, start=start, end=end) == content[start:end]
    with web_server(site) as server:
        fs, path = file_system(f"{server.url}/a.gz")
        assert fs.cat_file(path, end=6) == content[:6]
        with fs.open(path) as file:
            file.seek(-100, 2)
            assert (file.read(50), file.tell()) == (content[-100:-50], len(content) - 50)
            file.seek(0)
            assert file.read() == content
        asked = [asked.range for asked in server.asked if asked.method == "GET"]
        assert (asked[0], None in asked[1:]) == (None, False)


@pytest.mark.parametrize("answer", [{"status": 200}, {"status": 206, "headers": {"Content-Range": "bytes 0-9/10"}}])
def test_what_is_sent_in_place_of_a_part_is_an_error(answer: dict[str, Any]) -> None:
    with web_server(lambda asked: Answer(bytes(10), **answer)) as server:
        fs, path = file_system(f"{server.url}/a.zip")
        with pytest.raises(ImageError) as caught, faults.image_errors():
            fs.cat_file(path, start=5, end=10)
        assert caught.value.message == (
            "The file could not be read: its server sends whole files and no parts of them; copy it to this machine or "
            "to a bucket"
        )


def test_a_file_whose_length_is_not_said_is_read_from_its_beginning() -> None:
    with web_server(lambda asked: Answer([bytes(1000), b"end"])) as server:
        url = f"{server.url}/a.csv"
        with open_stream(url) as file:
            assert (file.read(10), file.read(2**20)) == (bytes(10), bytes(990) + b"end")
        fs, path = file_system(url)
        with pytest.raises(OSError, match="does not say how long it is; copy it to this machine"):
            fs.open(path)


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    site = folder_site(tmp_path)
    with web_server(lambda asked: Answer(status=404) if "/a" in asked.path else site(asked)) as server:
        fs, path = file_system(f"{server.url}/**")
        with pytest.raises(FileNotFoundError):
            fs.glob(path)


@pytest.mark.parametrize("encoding", [{"Content-Encoding": "gzip"}, {}])
def test_what_was_packed_is_unpacked(encoding: dict[str, str]) -> None:
    content = bytes(range(256)) * 20
    with web_server(lambda asked: Answer(gzip.compress(content), headers=encoding)) as server:
        assert fetched(f"{server.url}/a.jpg") == content
        assert failure(f"{server.url}/a.jpg", 5119).code == FailureCode.TOO_MANY_BYTES


def test_what_is_packed_and_broken_is_unreadable() -> None:
    packed = gzip.compress(random.Random(0).randbytes(5000))
    for broken in (packed[:-9], packed[:2000] + bytes(50) + packed[2050:]):
        with web_server(lambda asked, broken=broken: Answer(broken)) as server:
            assert failure(f"{server.url}/a.jpg").code == FailureCode.UNREADABLE


class OwnFileSystem(HTTPFileSystem):
    """A file system for the web that a user registers."""


@pytest.fixture
def registered() -> Iterator[Callable[[type], None]]:
    before = fsspec.get_filesystem_class("http")
    yield lambda kind: fsspec.register_implementation("http", kind, clobber=True)
    fsspec.register_implementation("http", before, clobber=True)


def test_a_registered_file_system_is_used(registered: Callable[[type], None]) -> None:
    registered(OwnFileSystem)
    fs, path = file_system("http://host/a.jpg")
    assert type(fs) is OwnFileSystem
    assert path == "http://host/a.jpg"


def test_options_of_fsspecs_configuration_reach_the_web(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "http", {"headers": {"X-Key": "k"}})
    fs, _ = file_system("http://host/configured.jpg")
    assert fs.kwargs["headers"] == {"X-Key": "k"}


def test_a_uri_keeps_what_it_says_of_its_file_system(tmp_path: Path) -> None:
    for uri in ("github://owner:repository@main/a.jpg", "ftp://user@host/a.jpg"):
        kind = fsspec.get_filesystem_class(uri.partition(":")[0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "__init__", lambda self, **options: None)
            patch.setattr(kind, "cachable", False)
            patch.setattr(kind, "__del__", lambda self: None, raising=False)
            fs, _ = file_system(uri)
            assert canonical_uri(uri) == uri
            assert filesystems.uri_builder(uri, fs)(fs._strip_protocol(uri).replace("a.", "b.")) == uri.replace(
                "/a.", "/b."
            )
            del fs
