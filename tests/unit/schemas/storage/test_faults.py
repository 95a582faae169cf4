"""What storage says of an image is said once: the name of the system's error is left out where the sentence has it."""

import errno
import os
from pathlib import Path

import pytest

from schemas.errors import FailureCode, ImageError
from schemas.storage import image_errors


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (errno.ENOENT, FailureCode.NOT_FOUND, "There is no such file: 'a.jpg'"),
        (errno.EISDIR, FailureCode.NOT_FOUND, "There is no such file: Is a directory: 'a.jpg'"),
        (errno.EACCES, FailureCode.PERMISSION_DENIED, "The file may not be read: 'a.jpg'"),
        (errno.EPERM, FailureCode.PERMISSION_DENIED, "The file may not be read: 'a.jpg'"),
        (errno.ETIMEDOUT, FailureCode.TIMEOUT, "The file could not be read in time: 'a.jpg'"),
        (errno.EIO, FailureCode.UNREADABLE, "The file could not be read: Input/output error: 'a.jpg'"),
    ],
)
def test_an_error_of_the_system_is_named_where_it_says_more(number: int, code: FailureCode, sentence: str) -> None:
    with pytest.raises(ImageError) as caught, image_errors():
        raise OSError(number, os.strerror(number), "a.jpg")
    assert (caught.value.code, caught.value.message) == (code, sentence)


def test_an_error_without_a_name_of_a_file_is_the_sentence_alone() -> None:
    with pytest.raises(ImageError) as caught, image_errors():
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    assert caught.value.message == "The server refuses connections."


def test_a_link_that_leads_nowhere_is_said_once_to_be_missing(tmp_path: Path) -> None:
    link = tmp_path / "a.jpg"
    link.symlink_to("nowhere.jpg")
    with pytest.raises(ImageError) as caught, image_errors():
        link.read_bytes()
    assert caught.value.message == f"There is no such file: '{link}'"
