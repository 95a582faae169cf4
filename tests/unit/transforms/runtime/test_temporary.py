"""Temporary folders go with their process, or with the next one of the same user."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from transforms.runtime.temporary import remove_abandoned_folders, temporary_folder


@pytest.fixture(autouse=True)
def first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    remove_abandoned_folders.cache_clear()
    yield
    remove_abandoned_folders.cache_clear()


def aged(folder: Path) -> Path:
    os.utime(folder, (0, 0))
    return folder


def test_a_folder_goes_in_the_end(tmp_path: Path) -> None:
    with temporary_folder() as folder:
        (folder / "file").write_text("text")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from transforms.runtime.temporary import temporary_folder\n"
        "with temporary_folder():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=False)
    (killed,) = tmp_path.iterdir()
    with temporary_folder() as living:
        assert killed.exists(), "It is young: its process may not have locked it yet."
        aged(killed)
        aged(living)
        others = aged(Path(tempfile.mkdtemp(prefix="other-")))
        remove_abandoned_folders.cache_clear()
        with temporary_folder():
            assert not killed.exists()
            assert living.exists()
            assert others.exists()
