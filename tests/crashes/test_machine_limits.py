"""What processes share has limits: /dev/shm full or read-only, and a limit of files, are a sentence, or no matter."""

import ctypes
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.classifiers import holds_classifier
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, write_pictures
from tests.support.children import start_program

IMAGES = 40
# More than any file of such a run, and less than a batch of its pictures.
MOST_BYTES = 64 * 2**10
BATCH = "--batch_size=32"
_NEW_MOUNTS, _READ_ONLY, _PRIVATE, _RECURSIVE = 0x20000, 1, 1 << 18, 1 << 14


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))


def mount_shared_memory(flags: int = 0) -> None:
    """Gives this process a /dev/shm of its own, of one page."""
    libc = ctypes.CDLL(None, use_errno=True)
    for done in (
        libc.unshare(_NEW_MOUNTS),
        libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None),
        libc.mount(b"none", b"/dev/shm", b"tmpfs", flags, b"size=4k"),
    ):
        assert done == 0, os.strerror(ctypes.get_errno())


def fill_shared_memory() -> None:
    """Gives this process a /dev/shm of its own, with no byte left."""
    mount_shared_memory()
    Path("/dev/shm/full").write_bytes(bytes(4096))


def lock_shared_memory() -> None:
    """Gives this process a /dev/shm of its own to which nobody can write."""
    mount_shared_memory(_READ_ONLY)


def ended(prepare: Callable[[], None], here: Path, command: str, *arguments: object) -> tuple[int | None, str]:
    """Runs a command in a process with limits; returns its exit code and what it says."""
    process = start_program(command, arguments, here / "program", prepare=prepare)
    process.join(120)
    return process.exitcode, (here / "program" / "stderr").read_text()


@pytest.fixture(params=[fill_shared_memory, lock_shared_memory], ids=["full", "read-only"])
def no_shared_memory(request: pytest.FixtureRequest) -> Callable[[], None]:
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("needs the right to mount a file system of its own (unshare --mount)")
    prepare: Callable[[], None] = request.param
    return prepare


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of the store, and pictures that it lacks."""
    shutil.copytree(made / "store", tmp_path / "store")
    write_pictures(tmp_path / "pictures", IMAGES, seed=3)
    return tmp_path


def known(here: Path) -> int:
    rows = FeatureStore.open(f"{here}/store").scan(["uri"]).to_numpy("uri")
    return sum(str(uri).startswith(f"file://{here}/pictures/") for uri in rows)


def test_pictures_are_decoded_without_shared_memory(no_shared_memory: Callable[[], None], here: Path) -> None:
    options = (f"--input={here}/pictures", f"--output={here}/store", BATCH, "--decode_processes=2")
    code, said = ended(no_shared_memory, here, "extract", *options)
    assert (code, said, known(here)) == (0, "", IMAGES)


def test_keras_without_semaphores_is_one_sentence(no_shared_memory: Callable[[], None], here: Path) -> None:
    options = (f"--features={here}/store", f"--output={here}/model", "--split=column", "--test_fraction=0")
    code, said = ended(no_shared_memory, here, "train", *options)
    assert code == 1
    assert re.fullmatch(
        r"error: A process for Keras needs semaphores, which lie in /dev/shm, and there are none: "
        r".*(No space left|Read-only file system).*\n",
        said,
    ), said
    assert not holds_classifier(f"{here}/model")


def test_a_new_base_without_semaphores_is_no_fault_of_the_store(
    no_shared_memory: Callable[[], None], here: Path
) -> None:
    options = (f"--input={here}/pictures", f"--output={here}/new", *SMALL_BASE, "--conv_base_arg=alpha=0.5")
    code, said = ended(no_shared_memory, here, "extract", *options)
    assert code == 1
    assert re.match("error: A process for Keras needs semaphores, which lie in /dev/shm, and there are none: ", said)


def test_a_limit_of_files_that_forbids_memory_for_pictures_is_one_sentence(here: Path, tmp_path: Path) -> None:
    options = (f"--input={here}/pictures", f"--output={here}/store", BATCH)
    code, said = ended(limit_files, here, "extract", *options, "--decode_processes=2")
    assert code == 1
    assert re.fullmatch(
        r"error: The memory that decoder processes share cannot grow to [\d,]+ bytes \(File too large\); "
        r"--decode_processes=0 decodes in threads, which need none\.\n",
        said,
    ), said
    assert known(here) == 0
    shutil.rmtree(here / "program")
    assert ended(limit_files, here, "extract", *options, "--decode_processes=0") == (0, "")
    assert known(here) == IMAGES
