"""One rule for what is tried again: how often, after which pauses, and who is told."""

import datetime
import time
from collections.abc import Callable

import pytest

from schemas.buckets.stores import tries_again
from schemas.errors import FailureCode, ImageError
from schemas.storage import Reach, attempts, with_retries


class Refused(OSError):
    """A server's answer."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Reader:
    """Fails so many times, and then reads."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error = error
        self.times = times
        self.asked = 0

    def __call__(self) -> bytes:
        self.asked += 1
        if self.asked <= self.times:
            raise self.error
        return b"x"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between attempts, which the test does not wait for."""
    waited: list[float] = []
    monkeypatch.setattr(attempts.time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    ("error", "tried"),
    [
        (Refused(503), 9),
        (Refused(429), 9),
        (Refused(500), 4),
        (TimeoutError("slow"), 4),
        (ConnectionResetError("gone"), 4),
        (Refused(403), 1),
        (FileNotFoundError("no"), 1),
    ],
)
def test_storage_that_asks_for_fewer_is_given_more_time(error: Exception, tried: int, pauses: list[float]) -> None:
    told: list[tuple[bool, float]] = []
    reader = Reader(error, 100)
    with pytest.raises(ImageError):
        with_retries(reader, None, lambda *attempt: told.append(attempt))
    assert reader.asked == tried
    assert [seconds for _, seconds in told] == pauses
    assert [is_throttled for is_throttled, _ in told] == [tried == 9] * (tried - 1)
    longest = [min(0.2 * 2**number, 8.0) for number in range(tried - 1)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


def test_what_passes_is_read(pauses: list[float]) -> None:
    assert with_retries(Reader(Refused(503), 5)) == b"x"
    assert with_retries(Reader(Refused(500), 3)) == b"x"
    assert len(pauses) == 5 + 3


def of_botocore(status: int, seconds: str) -> Exception:
    """What s3fs raises, from what botocore did."""
    exceptions = pytest.importorskip("botocore.exceptions", reason="needs botocore (the extra s3), which is absent")
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after": seconds}}
    error = OSError("Please reduce your request rate.")
    error.__cause__ = exceptions.ClientError(
        {"Error": {"Code": "SlowDown", "Message": ""}, "ResponseMetadata": metadata}, "GetObject"
    )
    return error


def of_aiohttp(status: int, seconds: str) -> Exception:
    """What fsspec's file system of the web raises."""
    return Refused(status, Retry_After=seconds)


@pytest.mark.parametrize("error_of", [of_aiohttp, of_botocore])
def test_a_server_is_asked_again_when_it_says(error_of: Callable[[int, str], Exception], pauses: list[float]) -> None:
    assert with_retries(Reader(error_of(503, "7"), 2)) == b"x"
    assert pauses == [7.0, 7.0]
    reader = Reader(error_of(503, "31"), 2)
    with pytest.raises(ImageError):
        with_retries(reader)
    assert reader.asked == 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_date_without_a_zone_is_one_of_utc(zone: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=20)
        # RFC 9110, section 5.6.7: the form of C's asctime, which recipients have to take.
        assert with_retries(Reader(of_aiohttp(503, soon.strftime("%a %b %d %H:%M:%S %Y")), 1)) == b"x"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert 10 < pauses[0] <= 20


@pytest.mark.parametrize("said", ["soon", "-1", "9" * 400, "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"])
def test_what_says_no_time_changes_no_attempt_but_ends_none_with_another_error(said: str, pauses: list[float]) -> None:
    with pytest.raises(ImageError):
        with_retries(Reader(of_aiohttp(503, said), 100))
    assert len(pauses) in {0, 8}


def test_no_attempt_begins_when_the_time_of_the_image_would_be_over(pauses: list[float]) -> None:
    reader = Reader(Refused(503), 100)
    with pytest.raises(ImageError) as caught:
        with_retries(reader, Reach(seconds=1.0))
    assert caught.value.code == FailureCode.SERVER_ERROR
    assert max(pauses) < 1.0
    assert reader.asked < 9


def test_a_request_is_made_once_where_its_reader_tries_again() -> None:
    assert tries_again()
    assert with_retries(lambda: not tries_again())
    assert tries_again()
