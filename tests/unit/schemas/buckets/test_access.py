"""Who asks S3, and how: fsspec's configuration, the environment, `~/.aws`; and one sentence where nobody may."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fsspec.config import conf
from werkzeug.serving import make_server

from schemas.buckets import BucketFileSystem
from schemas.buckets.stores import store_of
from schemas.clouds.aws import region_of
from schemas.errors import InvalidInput, StoreUnreachable
from schemas.storage import input_file_system
from schemas.store import FeatureStore
from tests.support.servers import SilentHandler, s3_environment
from tests.support.web import Answer, web_server
from transforms.sources import find_sources

Environ = dict[str, Any]


class Listener:
    """A WSGI application that has every object, and remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[Environ] = []

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        self.asked.append(environ)
        headers = {"Content-Length": "1", "ETag": "1", "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        start_response("200 OK", list(headers.items()))
        return [b"x"]


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A server to which nothing points; no configuration and no credentials but those of the test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setitem(conf, "s3", {})
    application = Listener()
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=SilentHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("LISTENER", f"http://127.0.0.1:{server.port}")
    yield application
    server.shutdown()
    thread.join()


def asked(listener: Listener, key: str = "a.jpg") -> Mapping[str, Any]:
    fs, path = input_file_system(f"s3://bucket/{key}")
    assert isinstance(fs, BucketFileSystem)
    assert fs.cat_file(path) == b"x"
    return listener.asked[-1]


def test_what_is_configured_for_fsspec_signs_the_request(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    client = {"endpoint_url": os.environ["LISTENER"], "region_name": "eu-west-3"}
    monkeypatch.setitem(conf, "s3", {"key": "of-fsspec", "secret": "s", "token": "t", "client_kwargs": client})
    request = asked(listener)
    assert "Credential=of-fsspec/" in request["HTTP_AUTHORIZATION"]
    assert "/eu-west-3/s3/" in request["HTTP_AUTHORIZATION"]
    assert request["HTTP_X_AMZ_SECURITY_TOKEN"] == "t"
    assert request["PATH_INFO"] == "/bucket/a.jpg"


@pytest.mark.parametrize("value", [True, "true", "1"])
def test_anonymous_requests_are_not_signed(listener: Listener, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf, "s3", {"anon": value, "endpoint_url": os.environ["LISTENER"]})
    assert "HTTP_AUTHORIZATION" not in asked(listener)


def test_the_requester_pays_where_that_is_configured(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"requester_pays": True, "key": "k", "secret": "s", "endpoint_url": os.environ["LISTENER"]}
    monkeypatch.setitem(conf, "s3", given)
    assert asked(listener)["HTTP_X_AMZ_REQUEST_PAYER"] == "requester"


@pytest.mark.usefixtures("listener")
def test_the_bucket_is_in_the_name_of_the_host_where_that_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    style = {"config_kwargs": {"s3": {"addressing_style": "virtual"}}}
    given = {"key": "k", "secret": "s", "endpoint_url": "https://storage.example"}
    monkeypatch.setitem(conf, "s3", {**given, **style})
    config = store_of("s3", "bucket").config
    assert (config["endpoint"], config["virtual_hosted_style_request"]) == ("https://bucket.storage.example", "true")


def test_a_profile_has_its_own_credentials_region_and_endpoint(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[profile ours]\nregion = eu-west-3\nendpoint_url = {os.environ['LISTENER']}\n")
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = of-default\naws_secret_access_key = s\n"
        "[ours]\naws_access_key_id = of-ours\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "ours")
    authorization = asked(listener)["HTTP_AUTHORIZATION"]
    assert "Credential=of-ours/" in authorization
    assert "/eu-west-3/s3/" in authorization


def test_a_changed_environment_is_another_store(listener: Listener) -> None:
    with s3_environment(os.environ["LISTENER"]):
        first = store_of("s3", "bucket")
        assert store_of("s3", "bucket") is first
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "other")
            assert store_of("s3", "bucket") is not first
            assert "Credential=other/" in asked(listener)["HTTP_AUTHORIZATION"]


def test_a_bucket_says_where_it_is_even_where_it_refuses() -> None:
    with web_server(lambda _: Answer(status=403, headers={"x-amz-bucket-region": "eu-west-3"})) as server:
        assert region_of(f"{server.url}/bucket") == "eu-west-3"
    assert region_of("http://127.0.0.1:9/bucket") is None


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (400, "ExpiredToken", "credentials have expired; renew them"),
        (403, "InvalidAccessKeyId", "does not know the access key"),
        (403, "SignatureDoesNotMatch", "secret key does not belong to the access key"),
        (403, "RequestTimeTooSkewed", "clock is wrong by more than 15 minutes"),
        (400, "AuthorizationHeaderMalformed", "in another region; name it by AWS_REGION"),
        (301, "PermanentRedirect", "in another region; name it by AWS_REGION"),
        (404, "NoSuchBucket", "There is no bucket bucket"),
    ],
)
def test_what_keeps_all_of_a_bucket_from_being_read_is_one_sentence(status: int, code: str, sentence: str) -> None:
    said = f"<Error><Code>{code}</Code><Message>says the server</Message></Error>".encode()
    started = time.monotonic()
    with web_server(lambda _: Answer(said, status)) as server, s3_environment(server.url):
        for place in ("", "photos", "photos/a.jpg"):
            with pytest.raises(InvalidInput, match=sentence) as caught:
                find_sources([f"s3://bucket/{place}"])
            assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (400, "ExpiredToken", "The credentials have expired; renew them"),
        (403, "RequestTimeTooSkewed", "clock is wrong by more than 15 minutes"),
        (301, "PermanentRedirect", "The bucket is in another region; name it by AWS_REGION"),
        (404, "NoSuchBucket", "There is no such bucket"),
    ],
)
def test_a_store_that_cannot_be_reached_is_one_sentence(status: int, code: str, sentence: str) -> None:
    said = f"<Error><Code>{code}</Code><Message>says the server</Message></Error>".encode()
    started = time.monotonic()
    with (
        web_server(lambda _: Answer(said, status)) as server,
        s3_environment(server.url),
        pytest.raises(StoreUnreachable, match=sentence),
    ):
        FeatureStore.open("s3://bucket/store")
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("listener")
def test_a_store_without_credentials_is_one_sentence_within_seconds() -> None:
    started = time.monotonic()
    with pytest.raises(StoreUnreachable, match="Unable to locate credentials"):
        FeatureStore.find("s3://bucket/store")
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("listener")
def test_without_credentials_there_is_one_sentence_within_seconds() -> None:
    started = time.monotonic()
    with pytest.raises(InvalidInput, match="There are no credentials for the storage"):
        find_sources(["s3://bucket/photos"])
    assert time.monotonic() - started < 10
