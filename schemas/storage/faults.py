"""Storage at fault: what its errors say of one image, and trying again.

A file system raises whatever its package raises, which need not be installed here. So errors are told apart by the
classes that Python has for them, by the status that a server gave, and by the names of their classes.
"""

import contextlib
import datetime
import email.utils
import errno
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from schemas.errors import ConvbaseError, FailureCode, ImageError, first_line
from schemas.storage.filesystems import UnknownProtocol
from schemas.storage.reach import Reach, held, seconds_left
from schemas.uris import without_secrets

T = TypeVar("T")

# The machine is at its limit, not the image at fault: the run has to stop.
_SYSTEM_ERRNOS: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EDQUOT})

_BY_CLASS: Final[tuple[tuple[tuple[type[Exception], ...], FailureCode], ...]] = (
    ((UnknownProtocol,), FailureCode.UNKNOWN_PROTOCOL),
    ((ImportError,), FailureCode.PACKAGE_MISSING),
    ((FileNotFoundError, IsADirectoryError, NotADirectoryError), FailureCode.NOT_FOUND),
    ((PermissionError,), FailureCode.PERMISSION_DENIED),
    ((ConnectionRefusedError,), FailureCode.CONNECTION_REFUSED),
    ((TimeoutError,), FailureCode.TIMEOUT),
)
# Of aiohttp, botocore, google.auth, requests, urllib3 and httpx, and of what inherits from theirs.
_BY_NAME: Final[Mapping[str, FailureCode]] = {
    "InvalidURL": FailureCode.INVALID_URI,
    "ParamValidationError": FailureCode.INVALID_URI,
    "NoCredentialsError": FailureCode.NO_CREDENTIALS,
    "PartialCredentialsError": FailureCode.NO_CREDENTIALS,
    "CredentialRetrievalError": FailureCode.NO_CREDENTIALS,
    "GoogleAuthError": FailureCode.NO_CREDENTIALS,
    "ClientAuthenticationError": FailureCode.NO_CREDENTIALS,
    "AddressNotAllowed": FailureCode.NOT_ALLOWED,
    "gaierror": FailureCode.UNKNOWN_HOST,
    "ClientConnectorDNSError": FailureCode.UNKNOWN_HOST,
    "NameResolutionError": FailureCode.UNKNOWN_HOST,
    "SSLError": FailureCode.TLS_ERROR,
    "ClientSSLError": FailureCode.TLS_ERROR,
    "TooManyRedirects": FailureCode.TOO_MANY_REDIRECTS,
    "Timeout": FailureCode.TIMEOUT,
    "TimeoutException": FailureCode.TIMEOUT,
    "ConnectTimeoutError": FailureCode.TIMEOUT,
    "ReadTimeoutError": FailureCode.TIMEOUT,
}
_BY_ERRNO: Final[Mapping[int | None, FailureCode]] = {
    errno.ENAMETOOLONG: FailureCode.INVALID_URI,
    errno.ECONNREFUSED: FailureCode.CONNECTION_REFUSED,
}
_BY_STATUS: Final[Mapping[int, FailureCode]] = {
    401: FailureCode.PERMISSION_DENIED,
    403: FailureCode.PERMISSION_DENIED,
    404: FailureCode.NOT_FOUND,
    407: FailureCode.PERMISSION_DENIED,
    408: FailureCode.TIMEOUT,
    410: FailureCode.NOT_FOUND,
    429: FailureCode.TOO_MANY_REQUESTS,
}
_MOST_CHARACTERS: Final = 240
_SENTENCES: Final[Mapping[FailureCode, str]] = {
    FailureCode.INVALID_URI: "The URI names no file that could be",
    FailureCode.UNKNOWN_PROTOCOL: "No file system has such a protocol",
    FailureCode.PACKAGE_MISSING: "The package of the file system is not installed",
    FailureCode.NOT_FOUND: "There is no such file",
    FailureCode.NOT_ALLOWED: "The server may not be asked",
    FailureCode.NO_CREDENTIALS: "There are no credentials for the storage",
    FailureCode.PERMISSION_DENIED: "The file may not be read",
    FailureCode.UNKNOWN_HOST: "There is no such host",
    FailureCode.CONNECTION_REFUSED: "The server refuses connections",
    FailureCode.TLS_ERROR: "The connection is not secure",
    FailureCode.TOO_MANY_REDIRECTS: "The server redirects too often",
    FailureCode.TOO_MANY_REQUESTS: "The server asks for fewer requests",
    FailureCode.SERVER_ERROR: "The server is at fault",
    FailureCode.TIMEOUT: "The file could not be read in time",
    FailureCode.UNREADABLE: "The file could not be read",
}

# Storage that is at fault may recover. s3fs and gcsfs try again by themselves, most file systems do not.
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
_ATTEMPTS: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.2
# A server that asks for a longer pause (`Retry-After`) is left alone until the next run.
_LONGEST_PAUSE_SECONDS: Final = 30.0


def with_retries(read: Callable[[], T], reach: Reach | None = None) -> T:
    """Reads an image from storage, trying again where it is at fault: after longer and longer pauses, or as asked.

    Args:
        read: Reads it.
        reach: How far it may be looked for, and how long it may take, with everything that is tried again; None for
            that which holds already, around what is read.

    Raises:
        ImageError: If it fails because of the image or the storage.
        Exception: What was raised if the machine is at its limit, or there is a bug.
    """
    with held(reach):
        attempt = 1
        while True:
            try:
                with image_errors():
                    return read()
            except ImageError as error:
                pause = _pause(error, attempt)
                if pause is None or pause >= (seconds_left() or 0):
                    raise
            time.sleep(pause)
            attempt += 1


@contextlib.contextmanager
def image_errors() -> Iterator[None]:
    """Raises what file systems raise as an `ImageError`; what says nothing of an image or its storage, as it is."""
    try:
        yield
    except Exception as error:
        found = image_error(error)
        if found is None or found is error:
            raise
        raise found from error


def image_error(error: Exception) -> ImageError | None:
    """Returns what an error of a file system says of an image.

    Returns:
        The error, with its code; None if the machine is at its limit, or the error is a bug.
    """
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError | ConvbaseError) or _errno(error) in _SYSTEM_ERRNOS:
        return None
    of_its_family = _code_of_family(error)
    if of_its_family is None:
        return None
    code = next((code for code in map(_code, _causes(error)) if code is not None), of_its_family)
    return ImageError(code, _sentence(code, error))


def _causes(error: Exception) -> Iterator[BaseException]:
    """Yields an error and those that it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _code(error: BaseException) -> FailureCode | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    named = next((code for name, code in _BY_NAME.items() if name in names), None)
    if named is not None:
        return named
    for kinds, code in _BY_CLASS:
        if isinstance(error, kinds):
            return code
    status = _status(error)
    if status is not None:
        return FailureCode.SERVER_ERROR if status >= 500 else _BY_STATUS.get(status)
    return _BY_ERRNO.get(_errno(error))


def _code_of_family(error: Exception) -> FailureCode | None:
    """Returns the code of an error of which no more is known; None if it is one of Python's own, which is a bug."""
    if isinstance(error, OSError | ImportError | NotImplementedError) or type(error).__module__ != "builtins":
        return FailureCode.UNREADABLE
    return FailureCode.INVALID_URI if isinstance(error, ValueError) else None


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _status(error: BaseException) -> int | None:
    """Returns the status that a server gave: aiohttp, gcsfs, azure; requests and httpx; botocore."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        values = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    else:
        values = [getattr(holder, name, None) for holder in (error, response) for name in ("status", "status_code")]
        values.append(getattr(error, "code", None))
    numbers = (int(str(value)) for value in values if str(value).isdecimal())
    return next((number for number in numbers if 400 <= number < 600), None)


def _sentence(code: FailureCode, error: Exception) -> str:
    said = without_secrets(next((text for text in map(_text, _causes(error)) if text), ""))
    said = said if len(said) <= _MOST_CHARACTERS else f"{said[:_MOST_CHARACTERS]}…"  # Paths may have thousands.
    return f"{_SENTENCES[code]}: {said}" if said else f"{_SENTENCES[code]}."


def _text(error: BaseException) -> str:
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int) and isinstance(message, str):  # aiohttp's own text adds the URL, which has its column.
        return f"{status or ''} {message}".strip()
    return first_line(error)


def _pause(error: ImageError, attempt: int) -> float | None:
    """Returns the seconds until the next attempt, or None if there is none."""
    if error.code not in _MAY_PASS or attempt >= _ATTEMPTS:
        return None
    asked = next((seconds for seconds in map(_retry_after, _causes(error)) if seconds is not None), None)
    if asked is None:
        return random.uniform(0.5, 1) * _FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1)  # noqa: S311 (no secret)
    return asked if asked <= _LONGEST_PAUSE_SECONDS else None


def _retry_after(error: BaseException) -> float | None:
    """Returns the seconds after which a server asks to be asked again (RFC 9110, section 10.2.3)."""
    headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None)
    value = str(headers.get("Retry-After", "")).strip() if isinstance(headers, Mapping) else ""
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    seconds: float = (moment - datetime.datetime.now(moment.tzinfo)).total_seconds()
    return seconds if seconds > 0 else 0.0
