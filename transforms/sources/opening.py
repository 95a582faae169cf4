"""Where the bytes of an image are: its URI as a file system and a path in it, or the reason why it cannot be one."""

import errno
import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import FailureCode, ImageError, first_line, shown
from schemas.storage import file_system, protocol_of

# What the names of a URI are wrong for, not what the storage is at fault for.
_BAD_NAMES: Final = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
_WITH_BUCKETS: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})


def image_file(uri: str, problem: str | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """Returns the file system of an image and the path in it. Nothing is opened.

    Args:
        uri: Where the image is.
        problem: Why it can be none, where its listing has found that out.

    Raises:
        ImageError: If no image can be there: what is wrong with a single row ends no run.
    """
    if problem is not None:
        raise ImageError(FailureCode.INVALID_URI, problem)
    protocol = protocol_of(uri)
    try:
        _check_url(uri, protocol)
        fs, path = file_system(uri)
    except ImportError as error:
        raise ImageError(
            FailureCode.PACKAGE_MISSING, f"Images of {protocol}:// need a package: {first_line(error)}"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise ImageError(_code_of(protocol), f"The URI cannot be read: {shown(first_line(error), 200)}") from error
    if isinstance(fs, LocalFileSystem):
        _check_file(path)
    return fs, path


def _code_of(protocol: str) -> FailureCode:
    """Says whether a URI is wrong, or there is no file system for it."""
    return FailureCode.INVALID_URI if protocol in fsspec.available_protocols() else FailureCode.UNKNOWN_PROTOCOL


def _check_url(uri: str, protocol: str) -> None:
    if "\0" in uri:
        raise ValueError("it has a NUL byte in it")
    if protocol in {"http", "https"}:
        urlsplit(uri).port  # noqa: B018 (raises for what is no port)
    elif protocol in _WITH_BUCKETS:
        bucket, _, key = uri.partition("://")[2].partition("/")
        if not bucket or not key:
            raise ValueError("it names no file in a bucket")


def _check_file(path: str) -> None:
    """Refuses what would block whoever opens it, or has no end."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        if error.errno in _BAD_NAMES:
            raise ImageError(
                FailureCode.INVALID_URI, f"There can be no such file: {os.strerror(error.errno)}"
            ) from error
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ImageError(FailureCode.NOT_FOUND, "There is no file, but a pipe, a socket or a device.")
