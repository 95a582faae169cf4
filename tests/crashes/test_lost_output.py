"""What a command prints cannot end it: nobody reads on, as in `… | head`, or the disk of its log is full."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from schemas.classifiers import holds_classifier
from schemas.delta import paths_of
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE
from tests.crashes.conftest import FOLDERS
from tests.support.children import start_program

LOST = (
    r"error: Standard output cannot be written \(No space left on device\): what was printed is lost, "
    r"what was done is not\.\n"
)
DAMAGED = r"error: \S+ is damaged; --repair takes what is damaged out of it\.\n"


def extracted(folder: Path) -> bool:
    return FeatureStore.open(f"{folder}/store").scan().count() == 4 * len(FOLDERS)


def compacted(folder: Path) -> bool:
    return len(paths_of(FeatureStore.open(f"{folder}/store").features())) == 1


class Case(NamedTuple):
    """A command of which somebody reads nothing.

    Attributes:
        arguments: Its name and its arguments; MADE stands for the folder of what was made, HERE for an empty one, which
            has a copy of the store, and of that one with a damaged file.
        done: Whether it has done what it is for.
        said: What it says besides, as a pattern.
        code: Its exit code where all that it prints is read.
    """

    arguments: str
    done: Callable[[Path], bool] = lambda _: True
    said: str = ""
    code: int = 0


CASES = {
    "extract": Case(
        f"extract --input=MADE/pictures --output=HERE/new/store --max_failure_ratio=0.5 {' '.join(SMALL_BASE)}",
        lambda folder: extracted(folder / "new"),
    ),
    "train": Case(
        "train --features=HERE/store --output=HERE/model --split=column --test_fraction=0",
        lambda folder: holds_classifier(f"{folder}/model"),
    ),
    "compact": Case("maintain HERE/store compact", compacted),
    "check": Case("maintain HERE/store check --deep"),
    "check of a damaged store": Case("maintain HERE/damaged check", said=DAMAGED, code=1),
    "inspect": Case("inspect HERE/store --failures"),
    "help": Case("extract --help"),
}


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    for name in ("store", "damaged"):
        shutil.copytree(made / "store", tmp_path / name)
    path = next((tmp_path / "damaged" / "features").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-5])
    return tmp_path


def ended(case: Case, made: Path, here: Path, *, leaves: bool) -> tuple[int | None, str]:
    """Runs a command, whose standard output is read by nobody or lies on a full disk.

    Returns:
        Its exit code and what it says.
    """
    program = here / "program"
    program.mkdir()
    if leaves:
        os.mkfifo(program / "stdout")
    else:
        (program / "stdout").symlink_to("/dev/full")
    command, *arguments = case.arguments.replace("MADE", str(made)).replace("HERE", str(here)).split()
    process = start_program(command, arguments, program)
    if leaves:
        os.close(os.open(program / "stdout", os.O_RDONLY))
    process.join(120)
    return process.exitcode, (program / "stderr").read_text()


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_behind_standard_output_costs_nothing_but_what_is_printed(
    name: str, made: Path, here: Path
) -> None:
    code, said = ended(CASES[name], made, here, leaves=False)
    assert code == 1
    assert re.fullmatch(CASES[name].said + LOST, said), said
    assert CASES[name].done(here)


@pytest.mark.parametrize("name", [name for name in CASES if name != "extract"])
def test_a_reader_that_leaves_ends_nothing(name: str, made: Path, here: Path) -> None:
    code, said = ended(CASES[name], made, here, leaves=True)
    assert code == (CASES[name].code or 141)
    assert re.fullmatch(CASES[name].said, said), said
    assert CASES[name].done(here)


def test_a_full_disk_behind_standard_error_does_not_change_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "stderr").symlink_to("/dev/full")
    process = start_program("inspect", [tmp_path / "nowhere"], tmp_path / "program")
    process.join(60)
    assert process.exitcode == 2
