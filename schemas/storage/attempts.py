"""Attempts: the one policy by which what fails is tried again, whatever the storage and its package.

obstore makes each request once here, and fsspec's file systems of the clouds try again by themselves besides. Who
reads is told of each attempt that failed, to count it and to ask for less at once. What obstore raises has the status
of an answer and not its headers, so that what a bucket says with `Retry-After` is not known then.
"""

import datetime
import email.utils
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from schemas.buckets import tried_again_outside
from schemas.errors import FailureCode, ImageError
from schemas.storage.faults import causes, image_errors, status_of
from schemas.storage.reach import Reach, held, seconds_left

T = TypeVar("T")

# Storage that is at fault may recover.
_MAY_PASS: Final = frozenset(
    {
        FailureCode.UNKNOWN_HOST,
        FailureCode.CONNECTION_REFUSED,
        FailureCode.TOO_MANY_REQUESTS,
        FailureCode.SERVER_ERROR,
        FailureCode.TIMEOUT,
        FailureCode.UNREADABLE,
    }
)
# What storage says that has too much to do: S3's SlowDown, Azure's ServerBusy, and everybody's 429.
_TOO_MANY: Final = frozenset({429, 503})

_ATTEMPTS: Final = 4
# With their pauses, some 20 seconds: as long as S3 may take to divide what is asked for too often.
_ATTEMPTS_IF_THROTTLED: Final = 9
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_OWN_PAUSE_SECONDS: Final = 8.0
# A server that asks for a longer pause (`Retry-After`) is left alone until the next run.
_LONGEST_PAUSE_SECONDS: Final = 30.0

# Is told of an attempt that failed: whether the storage asks for fewer requests, and the seconds until the next one.
Watch = Callable[[bool, float], None]


def unwatched(_is_throttled: bool, _seconds: float) -> None:
    """Takes no notice."""


def with_retries(read: Callable[[], T], reach: Reach | None = None, watch: Watch = unwatched) -> T:
    """Reads an image from storage, trying again where it is at fault: after longer and longer pauses, or as asked.

    Args:
        read: Reads it.
        reach: How far it may be looked for, and how long it may take, with everything that is tried again; None for
            that which holds already, around what is read.
        watch: Is told of each attempt after which there is another one.

    Raises:
        ImageError: If it fails because of the image or the storage.
        Exception: What was raised if the machine is at its limit, or there is a bug.
    """
    with held(reach), tried_again_outside(seconds_left()):
        attempt = 1
        while True:
            try:
                with image_errors():
                    return read()
            except ImageError as error:
                pause = _pause(error, attempt)
                if pause is None or pause >= (seconds_left() or 0):
                    raise
                watch(is_throttled(error), pause)
            time.sleep(pause)
            attempt += 1


def is_throttled(error: ImageError) -> bool:
    """Whether storage asks for fewer requests."""
    return any(status_of(cause) in _TOO_MANY for cause in causes(error))


def _pause(error: ImageError, attempt: int) -> float | None:
    """Returns the seconds until the next attempt, or None if there is none."""
    attempts = _ATTEMPTS_IF_THROTTLED if is_throttled(error) else _ATTEMPTS
    if error.code not in _MAY_PASS or attempt >= attempts:
        return None
    asked = next((seconds for seconds in map(_retry_after, causes(error)) if seconds is not None), None)
    if asked is None:
        own = min(_FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), _LONGEST_OWN_PAUSE_SECONDS)
        return random.uniform(0.5, 1) * own  # noqa: S311 (no secret)
    return asked if asked <= _LONGEST_PAUSE_SECONDS else None


def _retry_after(error: BaseException) -> float | None:
    """Returns the seconds after which a server asks to be asked again (RFC 9110, section 10.2.3)."""
    headers = _headers(error)
    value = str(headers.get("Retry-After") or headers.get("retry-after") or "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # One of its three forms names no zone; all of them are of UTC (section 5.6.7).
    moment = moment.replace(tzinfo=moment.tzinfo or datetime.UTC)
    return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())


def _headers(error: BaseException) -> Mapping[str, object]:
    """Returns the headers of the answer that an error was made of: aiohttp's, azure's and requests'; botocore's."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        headers = getattr(error, "headers", None) or getattr(response, "headers", None)
    return headers if isinstance(headers, Mapping) else {}
