"""The driver: inputs of a target one after the other, in a process of its own that may die, hang or take too much.

What that process does stands in memory that outlives it, so that the input which ends it is known, and the next process
goes on behind it.
"""

import collections
import contextlib
import dataclasses
import faulthandler
import logging
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.fuzz.target import Target

# Processor time of an input, and bytes that it may take besides those that its process has.
DEADLINE_SECONDS: Final = 10
MEMORY: Final = 10**9
# Without an answer for so long, a process waits for something that does not come.
SILENCE_SECONDS: Final = 300
_MOST_FAULTS: Final = 20
_STANDARD_ERROR: Final = 2
_FORKED: Final = multiprocessing.get_context("fork")


class Fault(NamedTuple):
    """What does not hold of some inputs.

    Attributes:
        number: The first of them.
        details: The traceback.
        times: How many there are.
    """

    number: int
    details: str = ""
    times: int = 1


@dataclasses.dataclass
class Tally:
    """What became of inputs.

    Attributes:
        tried: How many of them were tried.
        outcomes: How often each outcome came.
        faults: What failed, by the error and where it was raised, or by how the process ended.
        slowest: Seconds of processor time of the slowest, and its number.
        peak_memory: The most bytes that a process had in memory, and the input with which it came to them.
    """

    tried: int = 0
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: dict[str, Fault] = dataclasses.field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    peak_memory: tuple[int, int] = (0, 0)

    def add(self, other: "Tally") -> None:
        """Adds what became of others."""
        self.tried += other.tried
        self.outcomes += other.outcomes
        for kind, fault in other.faults.items():
            self.add_fault(kind, fault)
        self.slowest = max(self.slowest, other.slowest)
        self.peak_memory = max(self.peak_memory, other.peak_memory)

    def add_fault(self, kind: str, fault: Fault) -> None:
        """Adds a fault; of one that is known already only the number counts."""
        known = self.faults.get(kind)
        self.faults[kind] = fault if known is None else known._replace(times=known.times + fault.times)


def fuzz(target: Target[object], seed: int, numbers: range, seconds: float) -> Tally:
    """Tries inputs of a target.

    Args:
        target: The target.
        seed: Decides the inputs, with their numbers.
        numbers: Which inputs.
        seconds: No input begins later.

    Returns:
        What became of them.
    """
    end = time.monotonic() + seconds
    whole = Tally()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        while numbers and time.monotonic() < end and len(whole.faults) < _MOST_FAULTS:
            worker = _Worker(_Task(target, seed, numbers, end, folder))
            done, death = worker.result()
            if death is not None:
                done.tried = (worker.begun - numbers.start + 1) * target.inputs
                done.add_fault(death, Fault(worker.begun))
            whole.add(done)
            if death is None:
                break
            numbers = numbers[worker.begun - numbers.start + 1 :]
    return whole


class _Task(NamedTuple):
    """Inputs of a target, the moment after which none begins, and the folder for what they leave."""

    target: Target[object]
    seed: int
    numbers: range
    end: float
    folder: str


class _Worker:
    """A process that tries inputs."""

    def __init__(self, task: _Task) -> None:
        self._begun = _FORKED.RawValue("q", task.numbers.start)
        self._connection, theirs = _FORKED.Pipe(duplex=False)
        self._process = _FORKED.Process(target=_work, args=(task, self._begun, theirs))
        self._process.start()
        theirs.close()

    @property
    def begun(self) -> int:
        """The input that it tries, or has tried last."""
        return int(self._begun.value)

    def result(self) -> tuple[Tally, str | None]:
        """Waits for it; returns what became of its inputs, as it last said, and how it has died if it has."""
        done, is_done = Tally(), False
        with contextlib.suppress(EOFError):
            while not is_done:
                if not self._connection.poll(SILENCE_SECONDS):
                    self._process.kill()
                    self._process.join()
                    return done, f"no answer for {SILENCE_SECONDS} s"
                done, is_done = self._connection.recv()
        self._process.join()
        return done, None if is_done else _death(self._process.exitcode or 0)


def _death(code: int) -> str:
    if code == -signal.SIGPROF:
        return f"more than {DEADLINE_SECONDS} s of processor time"
    return f"the process ends by {signal.Signals(-code).name}" if code < 0 else f"the process ends with {code}"


def _work(
    task: _Task,
    begun: Any,
    connection: Connection,
) -> None:
    tempfile.tempdir = task.folder
    os.chdir(task.folder)
    os.fsync = lambda _: None  # No input is about what a power cut leaves.
    warnings.simplefilter("ignore")
    logging.disable()
    faulthandler.disable()  # The driver says how the process has ended.
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STANDARD_ERROR)  # Where libtiff says of each file what it thinks.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    done = Tally()
    told = time.monotonic()
    for number in task.numbers:
        now = time.monotonic()
        if now >= task.end or len(done.faults) == _MOST_FAULTS:
            break
        if now - told > 1:
            connection.send((done, False))
            told = now
        begun.value = number
        _limit_memory()
        signal.setitimer(signal.ITIMER_PROF, DEADLINE_SECONDS)
        _try(task.target, task.seed, number, done)
    signal.setitimer(signal.ITIMER_PROF, 0)
    connection.send((done, True))
    connection.close()
    os._exit(0)  # Decoder processes end with their pipes.


def _try(target: Target[object], seed: int, number: int, done: Tally) -> None:
    started = time.process_time()
    try:
        done.outcomes[target.check(target.input(seed, number))] += 1
    except (Exception, *_panics()) as error:  # noqa: BLE001 (it is what is looked for)
        done.add_fault(_kind(error), Fault(number, "".join(traceback.format_exception(error))))
    done.tried += target.inputs
    done.slowest = max(done.slowest, (time.process_time() - started, number))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if memory > done.peak_memory[0]:
        done.peak_memory = memory, number


def _panics() -> Iterator[type[BaseException]]:
    """Yields what packages written in Rust raise where they have a bug, which is no `Exception`."""
    yield from (kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException")


def _kind(error: BaseException) -> str:
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def _limit_memory() -> None:
    """Lets this process allocate so much besides what it has, as decoder processes do."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + MEMORY, hard))
