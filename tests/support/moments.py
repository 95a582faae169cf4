"""Faults and signals that come at a moment of a command in this process."""

import dataclasses
import errno
import os
import signal
from collections.abc import Callable

import pytest

from tests.support.children import at_call, wrap

Fault = Callable[[], None]


def out_of_memory() -> None:
    raise MemoryError("no memory is left")


def storage_fails() -> None:
    raise OSError(errno.EIO, "the disk is at fault")


def signalled(number: signal.Signals) -> Fault:
    return lambda: os.kill(os.getpid(), number)


# Each with the exit code that it ends a run with, and whether it comes again.
FAULTS: dict[str, tuple[Fault, int, bool]] = {
    "no memory": (out_of_memory, 1, False),
    "storage at fault": (storage_fails, 1, True),
    "SIGINT": (signalled(signal.SIGINT), 130, False),
    "SIGTERM": (signalled(signal.SIGTERM), 143, False),
}


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a fault comes.

    Attributes:
        function: Before or after this function, as `module:name`.
        call: At which call of it, from 1.
        done: Whether the call is done first.
    """

    function: str
    call: int = 1
    done: bool = False


def set_fault(patch: pytest.MonkeyPatch, moment: Moment, fault: Fault, *, again: bool) -> None:
    """Lets a fault come at a moment, and where it comes again at every later call of the function."""
    wrap(moment.function, at_call(fault, moment.call, done=moment.done, again=again), patch.setattr)


def assert_told(ended: int, code: int, clause: str, said: str) -> None:
    """Asserts that the end of a command is told as its tables have it.

    Args:
        ended: The exit code.
        code: The exit code that the fault gives.
        clause: What has to be said of what is visible.
        said: What is said.
    """
    if ended == 0:
        assert clause == "it is complete", "what succeeds is complete"
        assert code == 1, "a signal is told by the exit code"
    else:
        assert ended == code
        assert clause in said or (clause == "nothing of it is visible" and "visible" not in said), said
