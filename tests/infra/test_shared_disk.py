"""A store on a disk that containers and machines share: all that write to it are of one group, and leave it to that."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, extract, write_pictures

# What the container and the pods run as, and another user of a launcher elsewhere.
USER, GROUP, OTHER = 10001, 10001, 10002
ROOT = 0
LEAVES_TO_GROUP, LEAVES_TO_NOBODY = 0o002, 0o022
# Such a user could not read this machine's Python, nor the tests' folders; what it may write are its own rights alone.
READS_ALL = ("--securebits=+no_setuid_fixup", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder as `fsGroup` makes it, or `chgrp 10001` and `chmod 2775`; with pictures."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root, and setpriv to be somebody else")
    folder = tmp_path / "disk"
    write_pictures(folder / "first", 2)
    write_pictures(folder / "second", 2, seed=1)
    os.chown(folder, ROOT, GROUP)
    folder.chmod(0o2775)
    return folder


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def roots_launcher_makes_a_store(disk: Path, mask: int) -> None:
    with umask(mask):
        extract(f"--input={disk}/first", f"--output={disk}/store", *SMALL_BASE)


def command_of(user: int, disk: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user of the group, whose cache and temporary files are its own."""
    home = disk.parent / f"home-{user}"
    home.mkdir(mode=0o700)
    os.chown(home, user, GROUP)
    return subprocess.run(
        [
            "setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", *READS_ALL, "--",
            sys.executable, "-m", *arguments,
        ],
        cwd=disk, umask=LEAVES_TO_GROUP, capture_output=True, text=True, check=False,
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "HOME": str(home), "TMPDIR": str(home),
            "CONVBASE_CACHE": str(home / "cache"),
        },
    )  # fmt: skip


def test_roots_launcher_pods_and_others_of_the_group_write_to_one_store(disk: Path) -> None:
    roots_launcher_makes_a_store(disk, LEAVES_TO_GROUP)
    for user, command in (
        (USER, ("pipelines.extract", "--input=second", "--output=store")),
        (OTHER, ("pipelines.maintain", "store", "compact")),
    ):
        done = command_of(user, disk, *command)
        assert done.returncode == 0, done.stderr
    features = FeatureStore.open(f"{disk}/store").features()
    assert features.count() == 4
    (file,) = features.file_uris()
    assert Path(file.removeprefix("file://")).stat().st_uid == OTHER


def test_what_root_leaves_to_nobody_is_refused_in_one_sentence(disk: Path) -> None:
    roots_launcher_makes_a_store(disk, LEAVES_TO_NOBODY)
    done = command_of(USER, disk, "pipelines.extract", "--input=second", "--output=store")
    assert done.returncode == 2
    assert done.stderr.startswith("error: The store ")
    assert "cannot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
