"""Changes of a folder, counted: a process is killed at each of them in turn, as by `kill -9`."""

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CHANGES = frozenset({"os.mkdir", "os.remove", "os.rename", "os.rmdir"})


def killed_at_each_change(before: Path | None, states: Path, change: Callable[[str], object]) -> list[Path]:
    """Runs what changes a folder again and again, each time killed one change later, until it comes to its end.

    A change is a file that is opened to be written, a rename, a removal, a folder that is made. The process is killed
    before the change, and so after the one before.

    Args:
        before: The folder as it is before; None where there is none.
        states: Where the folders go.
        change: Changes the folder of that name; can be pickled.

    Returns:
        The folders that the kills have left, in the order of the changes.
    """
    process = _CONTEXT.Process(target=_run_all, args=(before, states, change))
    process.start()
    process.join(240)
    assert process.exitcode == 0
    return sorted(states.iterdir(), key=lambda folder: int(folder.name))


def _run_all(before: Path | None, states: Path, change: Callable[[str], object]) -> None:
    """Forks a process for each kill; this one is there for nothing else, and has no threads."""
    states.mkdir()
    number, ended = 1, False
    while not ended:
        folder = states / str(number)
        if before is not None:
            shutil.copytree(before, folder)
        child = os.fork()
        if not child:
            _run_killed(folder, number, change)
        status = os.waitpid(child, 0)[1]
        ended = status == 0
        assert ended or os.WTERMSIG(status) == signal.SIGKILL
        number += 1
    shutil.rmtree(folder)


def _run_killed(folder: Path, number: int, change: Callable[[str], object]) -> None:
    left = number

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        is_change = event in _CHANGES or (event == "open" and _writes(arguments))
        if is_change and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        change(str(folder))
        os._exit(0)
    finally:
        os._exit(1)


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
