"""Where the bytes of an image are: its URI as a file system and a path in it, or the reason why it cannot be one."""

from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.storage.faults import image_errors
from schemas.storage.filesystems import input_file_system
from schemas.uris import check_regular, is_in_a_bucket, is_on_the_web


def image_file(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Returns the file system of an image and the path in it. Nothing is opened.

    Raises:
        ImageError: If no image can be there: what is wrong with a single row ends no run.
    """
    with image_errors():
        _check_url(uri)
        fs, path = input_file_system(uri)
        if isinstance(fs, LocalFileSystem):
            check_regular(path)  # What else there is would block whoever opens it, or has no end.
    return fs, path


def _check_url(uri: str) -> None:
    if "\0" in uri:
        raise ValueError("it has a NUL byte in it")
    if is_on_the_web(uri):
        urlsplit(uri).port  # noqa: B018 (raises for what is no port)
    elif is_in_a_bucket(uri):
        bucket, _, key = uri.partition("://")[2].partition("/")
        if not bucket or not key:
            raise ValueError("it names no file in a bucket")
