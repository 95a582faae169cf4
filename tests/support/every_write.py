"""A fault at one of the things that a command does to files: it is killed there, or the disk is full from there on.

Tasks are functions of a module, and run in processes that are forked from a server which has imported them and has done
nothing else: a library that is loaded before libc (`every_write.c`) counts what they do to the files of a folder.
"""

import contextlib
import ctypes
import enum
import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SOURCE = Path(__file__).with_suffix(".c")
REPOSITORY = Path(__file__).parents[2]
_SECONDS = 300


class Fault(enum.IntEnum):
    """What happens at an event."""

    NONE = 0
    COUNTED = 1
    KILLED = 2
    FULL = 3


class Ended(NamedTuple):
    """How a task ended.

    Attributes:
        returned: What it returned, as JSON has it; None if it did not.
        error: The error that it raised, its class first; None if it raised none.
        events: What it has done to files of the folder.
        killed: Whether it was killed.
    """

    returned: Any
    error: str | None
    events: int
    killed: bool


class Server:
    """Where tasks are forked; see `server`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, task: str, *arguments: object, fault: Fault = Fault.NONE, event: int = 0, folder: str = "") -> Ended:
        """Runs a task, `module:function`, in a process of its own.

        Args:
            task: The function.
            arguments: Its arguments, as JSON has them.
            fault: What happens.
            event: At which event, from 1.
            folder: The folder whose files are looked at.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"task": task, "arguments": list(map(str, arguments)), "fault": fault, "event": event, "folder": folder}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        ended = Ended(**answer)
        assert fault == Fault.KILLED or not ended.killed, f"{task} was killed by what should kill nothing"
        return ended


@contextlib.contextmanager
def server(modules: Sequence[str]) -> Iterator[Server]:
    """Starts a server that has imported modules; skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc), which is absent")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "every_write.so")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.every_write", *modules],
            env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        try:
            yield Server(process)
        finally:
            process.kill()
            process.wait()


def _serve(modules: Sequence[str]) -> None:
    os.environ.pop("LD_PRELOAD", None)
    for module in modules:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What tasks print is no answer.
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as file:
            child = os.fork()
            if not child:
                _run(json.loads(line), file)
            _, status = os.waitpid(child, 0)
            file.seek(0)
            said = file.read()
        killed = {"returned": None, "error": None, "events": 0, "killed": True}
        answers.write((said if os.WIFEXITED(status) and said else json.dumps(killed)) + "\n")
        answers.flush()


def _run(asked: dict[str, Any], file: Any) -> None:
    """Runs a task in a process that was forked for it, and ends the process."""
    signal.alarm(_SECONDS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    library = ctypes.CDLL(None)
    library.every_write_seen.restype = ctypes.c_long
    arm = functools.partial(library.every_write_arm, asked["folder"].encode())
    module, _, name = asked["task"].partition(":")
    ended: dict[str, Any] = {"returned": None, "error": None, "killed": False}
    task = getattr(importlib.import_module(module), name)
    arm(asked["fault"], ctypes.c_long(asked["event"]))
    try:
        ended["returned"] = task(*asked["arguments"])
    except Exception as error:  # noqa: BLE001 (the test judges it)
        ended["error"] = f"{type(error).__name__}: {error}"
        if isinstance(error, AssertionError):
            traceback.print_exc()
    ended["events"] = library.every_write_seen()
    arm(Fault.NONE, ctypes.c_long(0))
    json.dump(ended, file)
    file.flush()
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1:])
