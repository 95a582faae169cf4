"""Storage at fault: what its errors say of one image.

A file system raises whatever its package raises, which need not be installed here. So errors are told apart by the
classes that Python has for them, by the status that a server gave, and by the names of their classes.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.errors import ConvbaseError, FailureCode, ImageError, first_line
from schemas.storage.filesystems import UnknownProtocol
from schemas.uris import without_secrets

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
# What the system says that the sentence of the code has said already.
_SAID_BY_CODE: Final[Mapping[FailureCode, frozenset[int]]] = {
    FailureCode.NOT_FOUND: frozenset({errno.ENOENT}),
    FailureCode.PERMISSION_DENIED: frozenset({errno.EACCES, errno.EPERM}),
    FailureCode.CONNECTION_REFUSED: frozenset({errno.ECONNREFUSED}),
    FailureCode.TIMEOUT: frozenset({errno.ETIMEDOUT}),
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
    code = next((code for code in map(_code, causes(error)) if code is not None), of_its_family)
    return ImageError(code, _sentence(code, error))


def causes(error: BaseException) -> Iterator[BaseException]:
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
    status = status_of(error)
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


def status_of(error: BaseException) -> int | None:
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
    said = without_secrets(next((text for text in (_text(cause, code) for cause in causes(error)) if text), ""))
    said = said if len(said) <= _MOST_CHARACTERS else f"{said[:_MOST_CHARACTERS]}…"  # Paths may have thousands.
    return f"{_SENTENCES[code]}: {said}" if said else f"{_SENTENCES[code]}."


def _text(error: BaseException, code: FailureCode) -> str:
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int) and isinstance(message, str):  # aiohttp's own text adds the URL, which has its column.
        return f"{status or ''} {message}".strip()
    text, number = first_line(error), _errno(error)
    if number is not None and number in _SAID_BY_CODE.get(code, ()):
        return text.removeprefix(os.strerror(number)).removeprefix(": ")
    return text
