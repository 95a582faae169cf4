"""Errors of obstore as Python has them, with the status that a server gave and one sentence instead of a dump.

obstore's own are told apart by their text: it has the status, S3's code for it, and what Rust printed of the cause.
"""

import contextlib
import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final

from obstore.exceptions import BaseError, InvalidPathError

_STATUS: Final = re.compile(r"status code: ((\d{3})[A-Za-z -]*)")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")
_ERRNO: Final = re.compile(r"Os \{\s*code: (\d+)")
_IN_ANOTHER_REGION: Final = "redirect without LOCATION"
# Where a machine's own credentials are asked for; obstore does so where it was given none.
_NO_CREDENTIALS: Final = re.compile(r"169\.254\.\d+\.\d+|metadata\.google\.internal|credential provider")

# S3's codes for what is wrong with every object of a bucket alike, and what to do.
_REMEDIES: Final[Mapping[str, str]] = {
    "ExpiredToken": "The credentials have expired; renew them",
    "InvalidToken": "The session token is not valid; renew the credentials",
    "TokenRefreshRequired": "The credentials have expired; renew them",
    "InvalidAccessKeyId": "The server does not know the access key",
    "SignatureDoesNotMatch": "The secret key does not belong to the access key",
    "RequestTimeTooSkewed": "This machine's clock is wrong by more than 15 minutes; set it",
    "AuthorizationHeaderMalformed": "The bucket is in another region; name it by AWS_REGION",
    "PermanentRedirect": "The bucket is in another region; name it by AWS_REGION",
    "NoSuchBucket": "There is no such bucket",
    "ContainerNotFound": "There is no such container",
    "AuthenticationFailed": "Azure refuses the credentials; renew the key or the token, and check the clock",
    "AuthorizationFailure": "The network rules of the storage account refuse this machine",
}
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})
# What Rust prints of a request that had no answer, or half of one.
_WITHOUT_ANSWER: Final[Mapping[str, tuple[type[OSError], str]]] = {
    "kind: Timeout": (TimeoutError, "it did not answer in time"),
    "dns error": (socket.gaierror, "there is no such host"),
    "InvalidCertificate": (ssl.SSLError, "its certificate is not valid"),
    "Interrupted": (ConnectionResetError, "its answer broke off"),
}
_HOST: Final = re.compile(r"https?://([^/\s\"]+)")


class BucketUnavailable(PermissionError):
    """Nothing of a bucket can be read, for a reason that all of its objects share."""


class NoCredentialsError(OSError):
    """There are no credentials for a bucket."""


class InexactKey(OSError):
    """A listing has met a key that obstore cannot tell."""


class BucketError(OSError):
    """A request that failed.

    Attributes:
        status: The status that the server gave, if it gave one.
    """

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the server was not at fault, nor busy."""
        return self.status is not None and self.status < 500 and self.status not in {408, 429}


@contextlib.contextmanager
def bucket_errors(path: str) -> Iterator[None]:
    """Raises what obstore raises as errors of Python's own.

    Args:
        path: The bucket and the key that are asked for.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(_reason(str(error), path)) from error
    except BaseError as error:
        raise as_os_error(error, path) from error


def as_os_error(error: BaseError, path: str) -> OSError:
    """Returns an error of obstore's as one of Python's own."""
    text = str(error)
    system = _ERRNO.search(text)
    if isinstance(error, InvalidPathError):
        return InexactKey(_first_line(text))
    if system:
        return OSError(int(system[1]), os.strerror(int(system[1])))
    if _NO_CREDENTIALS.search(text):
        return NoCredentialsError(_first_line(text))
    for sign, (kind, sentence) in _WITHOUT_ANSWER.items():
        if sign in text:
            host = _HOST.search(text)
            return kind(f"{host[1] if host else path}: {sentence}")
    return _refused(text, path)


def _refused(text: str, path: str) -> OSError:
    """Returns the error for what a server has answered."""
    code, status, reason = _code(text), _status(text), _reason(text, path)
    if code in _NO_BUCKET or status == 404:
        return FileNotFoundError(reason)
    if status == 401 and code not in _REMEDIES:
        return NoCredentialsError(reason)
    if code in _REMEDIES:
        return BucketUnavailable(reason)
    if code == "KeyTooLongError":
        return OSError(errno.ENAMETOOLONG, reason)
    return PermissionError(reason) if status == 403 else BucketError(reason, status)


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[2]) if found else None


def _code(text: str) -> str:
    found = _CODE.search(text)
    return "PermanentRedirect" if found is None and _IN_ANOTHER_REGION in text else found[1] if found else ""


def _reason(text: str, path: str) -> str:
    """Returns what is wrong in a few words: ours if the code is known, else the server's."""
    remedy, said, status = _REMEDIES.get(_code(text)), _MESSAGE.search(text), _STATUS.search(text)
    if remedy:
        return f"{remedy} ({path})"
    if status is None:
        return _first_line(text)
    return path if status[2] == "404" else f"{status[2]} {_first_line(said[1])}" if said else status[1].strip()


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
