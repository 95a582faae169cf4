"""What cannot be written is refused before any work, in one sentence; devices are written to and not replaced."""

import os
from pathlib import Path

import pytest

from schemas.errors import StoreNotWritable, UsageError
from schemas.storage import check_file, check_folder, refused_if_not_writable, write_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


def test_a_folder_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    check_folder("The folder", f"{tmp_path}/new/folder")
    check_file("The file", f"{tmp_path}/new/folder/file")
    check_folder("The bucket", "memory://bucket/folder")
    assert list(tmp_path.iterdir()) == []


def test_what_lies_below_a_file_cannot_be_written(file: Path) -> None:
    said = rf"The thing cannot be written: Not a directory: '{file}'\."
    with pytest.raises(StoreNotWritable, match=said):
        check_folder("The thing", f"{file.parent}/fine", f"{file}/folder", refusal=StoreNotWritable)
    with pytest.raises(UsageError, match=said):
        check_file("The thing", f"{file}/folder/file")
    with pytest.raises(UsageError, match="Is a directory"):
        check_file("The thing", str(file.parent))


def test_what_nobody_may_write_cannot_be_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write everywhere.
    for check in (check_file, check_folder):
        with pytest.raises(UsageError, match=f"Permission denied: '{file.parent}'"):
            check("The thing", f"{file.parent}/new")
    with pytest.raises(UsageError, match="Permission denied: '/dev/null'"):
        check_file("The thing", "/dev/null")


def test_a_write_that_fails_is_one_sentence() -> None:
    with (
        pytest.raises(UsageError, match=r"^The thing cannot be written: No space left\.$"),
        refused_if_not_writable("The thing"),
    ):
        raise OSError(28, "No space left")


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_file("The pipe", str(pipe))
    write_file(str(pipe), b"{}")
    assert os.read(reader, 10) == b"{}"
    assert pipe.is_fifo()
    os.close(reader)
    check_file("The device", "/dev/null")
