"""What is wrong with a file becomes a code; what is wrong with the machine is raised."""

import errno
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef
from transforms.images import fetch_image


class FaultyFileSystem(MemoryFileSystem):
    """Raises what it is told to when a file is read."""

    protocol = "faulty"
    error: Exception

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        raise type(self).error


@pytest.fixture
def faulty() -> type[FaultyFileSystem]:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    return FaultyFileSystem


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    assert fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "1", None), 3) == b"abc"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "", None), 3)
    assert caught.value.code == FailureCode.NOT_FOUND


@pytest.mark.parametrize("size", [4, None])
def test_a_file_that_is_too_large_is_not_read(size: int | None, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abcd")
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "1", size), 3)
    assert caught.value.code == FailureCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError("no"), FailureCode.PERMISSION_DENIED),
        (TimeoutError("slow"), FailureCode.TIMEOUT),
        (OSError(errno.EIO, "broken"), FailureCode.UNREADABLE),
        (ConnectionResetError("gone"), FailureCode.UNREADABLE),
    ],
)
def test_what_storage_says_has_a_code(error: Exception, code: FailureCode, faulty: type[FaultyFileSystem]) -> None:
    faulty.error = error
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef("faulty://a.jpg", "1", 3), 3)
    assert caught.value.code == code
    assert not code.permanent


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EMFILE, "too many files"), MemoryError(), KeyError("a bug")]
)
def test_the_machine_at_its_limit_is_no_bad_image(error: Exception, faulty: type[FaultyFileSystem]) -> None:
    faulty.error = error
    with pytest.raises(type(error)):
        fetch_image(ImageRef("faulty://a.jpg", "1", 3), 3)
