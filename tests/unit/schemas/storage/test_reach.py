"""Addresses are judged where connections are made, and an image has so much time, whatever its server does."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef
from schemas.storage import Reach, file_system, image_errors
from schemas.uris import AllowedSources
from tests.support.web import Answer, Asked, WebServer, web_server
from transforms.images import fetch_image

PUBLIC = Reach(AllowedSources())


def naming(*names: str, seconds: float = 60) -> Reach:
    return Reach(AllowedSources((), names), seconds)


def refusal(url: str, reach: Reach = PUBLIC) -> ImageError:
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(url, "", None), 1000, reach)
    return caught.value


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server(lambda asked: Answer(b"x")) as running:
        yield running


Resolve = Callable[..., Any]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were looked up; all that end in `.example` are this machine."""
    asked: list[str] = []
    resolve: Resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return resolve("127.0.0.1" if host.endswith(".example") else host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_public_name_with_a_private_address_is_not_asked(server: WebServer, resolved: list[str]) -> None:
    url = f"http://images.example:{server.server_port}/a.jpg"
    error = refusal(url)
    assert (error.code, error.code.permanent) == (FailureCode.NOT_ALLOWED, False)
    assert f"images.example has the address 127.0.0.1, which is not public; --allowed_sources=http://images.example:{server.server_port}/" in error.message  # fmt: skip  # noqa: E501
    assert server.asked == []
    assert resolved == ["images.example"]
    named = naming(f"http://images.example:{server.server_port}/")
    assert fetch_image(ImageRef(url, "", None), 9, named) == b"x"
    assert fetch_image(ImageRef(url, "", None), 9, naming("127.0.0.0/8")) == b"x"


def test_a_name_is_looked_up_once_a_connection(server: WebServer, resolved: list[str]) -> None:
    url = f"http://once.example:{server.server_port}/a.jpg"
    fetch_image(ImageRef(url, "", None), 9, naming("127.0.0.1", seconds=50))
    assert resolved == ["once.example"], "What is judged is what is connected to."


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_an_address_is_judged_in_whatever_form(host: str, server: WebServer) -> None:
    assert refusal(f"http://{host}:{server.server_port}/a.jpg").code == FailureCode.NOT_ALLOWED
    assert server.asked == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{}/b.jpg", "http://images.example:{}/b.jpg", "//127.0.0.1:{}/b.jpg"]
)
def test_a_redirect_leads_nowhere_else(target: str, server: WebServer, resolved: list[str]) -> None:
    def site(asked: Asked) -> Answer:
        return Answer(status=302, headers={"Location": target.format(server.server_port)})

    with web_server(site) as redirecting:
        error = refusal(f"{redirecting.url}/a.jpg", naming(f"{redirecting.url}/"))
        assert error.code == FailureCode.NOT_ALLOWED
        assert server.asked == []
        # What the user has named himself leads nowhere else either.
        fs, path = file_system(f"{redirecting.url}/m.csv")
        with pytest.raises(ImageError) as caught, image_errors():
            fs.cat_file(path)
        assert caught.value.code == FailureCode.NOT_ALLOWED
        assert server.asked == []
        both = naming(f"{redirecting.url}/", "127.0.0.0/8")
        assert fetch_image(ImageRef(f"{redirecting.url}/a.jpg", "", None), 9, both) == b"x"


def test_an_archive_of_a_manifest_is_where_images_may_be(server: WebServer, resolved: list[str]) -> None:
    for protocol in ("zip", "tar", "parquet", "tfrecord"):
        uri = f"{protocol}://a.jpg::http://images.example:{server.server_port}/a.{protocol}"
        assert refusal(uri).code == FailureCode.NOT_ALLOWED
    assert server.asked == []


def dripping() -> Iterator[bytes]:
    while True:
        time.sleep(0.05)
        yield b"x"


@pytest.mark.parametrize("kind", ["a body that drips", "a server that fails each time", "a server that is silent"])
def test_an_image_has_so_much_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def site(asked: Asked) -> Answer:
        if kind == "a body that drips":
            return Answer(dripping())
        time.sleep(0.2 if kind == "a server that fails each time" else 30)
        return Answer(status=500)

    with web_server(site) as server:
        began = time.monotonic()
        error = refusal(f"{server.url}/a.jpg", naming(f"{server.url}/", seconds=0.6))
        assert time.monotonic() - began < 3
        assert error.code in {FailureCode.TIMEOUT, FailureCode.SERVER_ERROR}
        assert len(server.asked) <= 4
