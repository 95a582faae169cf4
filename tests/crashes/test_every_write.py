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
SENTENCES = ("RunFailed", "StoreNotWritable", "ModelNotWritable", "DamagedFile", "OSError")


@pytest.fixture(scope="module")
def forked() -> Iterator[Server]:
    with server([TASKS, "transforms.prediction.beam", "transforms.planning.beam", "openvino"]) as running:
        yield running


class Trial:
    """A folder that is as it was before each trial of a command.

    Attributes:
        events: What the command does to files of the folder when nothing goes wrong.
    """

    def __init__(self, forked: Server, name: str, tmp_path: Path) -> None:
        self._forked, self._name = forked, name
        self._folder, self._before = tmp_path / "at work", tmp_path / "before"
        self._folder.mkdir()
        self._done("prepare")
        shutil.copytree(self._folder, self._before)
        self.events = self.act(Fault.COUNTED).events
        self.recover()

    def act(self, fault: Fault, event: int = 0) -> Ended:
        """Gives the command, with a fault at an event."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._before, self._folder)
        arguments = (self._folder, self._name)
        return self._forked.run(f"{TASKS}:act", *arguments, fault=fault, event=event, folder=str(self._folder))

    def recover(self) -> None:
        """Gives it once more, and compares what there is with what is right."""
        self._done("recover")

    def _done(self, task: str) -> None:
        ended = self._forked.run(f"{TASKS}:{task}", self._folder, self._name)
        assert ended.error is None, ended.error


def tried(events: int) -> list[int]:
    """The events that are tried, the first and the last among them."""
    if os.environ.get("EVERY_WRITE"):
        return list(range(1, events + 1))
    return sorted({1 + number * (events - 1) // (TRIED - 1) for number in range(TRIED)})


@pytest.mark.timeout(36_000 if os.environ.get("EVERY_WRITE") else 600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_a_write_costs_nothing(name: str, forked: Server, tmp_path: Path) -> None:
    trial = Trial(forked, name, tmp_path)
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
        assert not {"\n", "\x1b"} & set(ended.error), f"at event {event}: {ended.error}"
    try:
        trial.recover()
    except AssertionError as error:
        raise AssertionError(f"{name}, {fault.name.lower()} at event {event} of {trial.events}") from error
    return ended.killed or ended.error is not None
