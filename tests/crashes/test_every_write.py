"""A kill and a full disk at every write of every command: the command again puts everything right.

Of each command six events are tried, evenly spread; `EVERY_WRITE=1 pytest tests/crashes/test_every_write.py` tries
them all. What TensorFlow would compute for a training or a fine-tuning is made before; what they write is their own.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands_under_faults import SCENARIOS
from tests.support.every_write import Ended, Fault, Server, server

TASKS = "tests.support.commands_under_faults"
TRIED = 6
# What a command turns into one sentence, or is one.
SENTENCES = ("RunFailed", "StoreNotWritable", "ModelNotWritable", "OutputNotWritten", "DamagedFile", "OSError")


@pytest.fixture(scope="module")
def forked() -> Iterator[Server]:
    with server([TASKS, "transforms.prediction.beam", "transforms.planning.beam", "openvino"]) as running:
        yield running


class Workplace:
    """The folder in which all commands work, and copies of it as steps have left it that several begin with."""

    def __init__(self, forked: Server, folder: Path) -> None:
        self.forked, self.folder = forked, folder / "at work"
        self._copies = folder / "copies"
        self._copies.mkdir()

    def before(self, name: str) -> Path:
        """Returns a copy of the folder as it is before a command."""
        return self._after(name, len(SCENARIOS[name].steps))

    def put_back(self, copy: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(copy, self.folder)

    def do(self, task: str, *arguments: object) -> None:
        ended = self.forked.run(f"{TASKS}:{task}", self.folder, *arguments)
        assert ended.error is None, ended.error

    def _after(self, name: str, steps: int) -> Path:
        copy = self._copies / "-".join(["nothing", *(step.__name__ for step in SCENARIOS[name].steps[:steps])])
        if not copy.exists() and steps:
            self.put_back(self._after(name, steps - 1))
            self.do("prepare", name, steps - 1)
            shutil.copytree(self.folder, copy)
        copy.mkdir(exist_ok=True)
        return copy


@pytest.fixture(scope="module")
def workplace(forked: Server, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(forked, tmp_path_factory.mktemp("commands"))


class Trial:
    """A command that is tried, its folder each time as it was before.

    Attributes:
        events: What the command does to files of the folder when nothing goes wrong.
    """

    def __init__(self, workplace: Workplace, name: str) -> None:
        self._workplace, self._name = workplace, name
        self._before = workplace.before(name)
        self.events = self.act(Fault.COUNTED).events
        self.recover()

    def act(self, fault: Fault, event: int = 0) -> Ended:
        """Gives the command, with a fault at an event."""
        self._workplace.put_back(self._before)
        folder = self._workplace.folder
        return self._workplace.forked.run(
            f"{TASKS}:act", folder, self._name, fault=fault, event=event, folder=str(folder)
        )

    def recover(self) -> None:
        """Gives it once more, and compares what there is with what is right."""
        self._workplace.do("recover", self._name)


def tried(events: int) -> list[int]:
    """The events that are tried, the first and the last among them."""
    if os.environ.get("EVERY_WRITE"):
        return list(range(1, events + 1))
    return sorted({1 + number * (events - 1) // (TRIED - 1) for number in range(TRIED)})


@pytest.mark.timeout(36_000 if os.environ.get("EVERY_WRITE") else 600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_a_write_costs_nothing(name: str, workplace: Workplace) -> None:
    trial = Trial(workplace, name)
    assert trial.events > 3
    events = tried(trial.events)
    for fault in (Fault.KILLED, Fault.FULL):
        failed = sum(ended_by(trial, fault, event, name) for event in events)
        print(f"{name}, {fault.name.lower()}: {trial.events} events, {failed} of {len(events)} tried ended it")
        assert failed or (name == "vacuum" and fault == Fault.FULL), "to remove files takes no space"


def ended_by(trial: Trial, fault: Fault, event: int, name: str) -> bool:
    """Gives a command with a fault at an event, and once more without; returns whether the fault ended it."""
    ended = trial.act(fault, event)
    if ended.error is not None:
        assert ended.error.startswith(SENTENCES), f"at event {event}: {ended.error}"
        _, *failures = ended.error.split("\n")
        assert all(line.startswith("  not_an_image  file://") for line in failures), f"at event {event}: {ended.error}"
        assert "\x1b" not in ended.error, f"at event {event}: {ended.error}"
    try:
        trial.recover()
    except AssertionError as error:
        raise AssertionError(f"{name}, {fault.name.lower()} at event {event} of {trial.events}") from error
    return ended.killed or ended.error is not None
