"""Runs a command as a process of its own and measures it: wall time, start-up included, and peak memory."""

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

SAMPLE_SECONDS: Final = 0.25
KILL_SECONDS: Final = 10.0
MESSAGE_CHARACTERS: Final = 300

# Notes of libraries that say nothing of why a process failed.
_NOISE: Final = ("I0000", "WARNING", "INFO")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a process took.

    Attributes:
        seconds: Wall time from its start to its end.
        peak_bytes: The most memory of the process and its descendants at one time: the sum of their proportional set
            sizes (PSS, a page that several share counts once), sampled, or the greatest resident set that a single one
            of them reached by the kernel's own account (VmHWM), whichever is more.
        exit_code: Its exit code; below 0 the signal that ended it.
        message: If it failed, the last line on standard error.
    """

    seconds: float
    peak_bytes: int
    exit_code: int
    message: str = ""


def measure(
    command: Sequence[str], environment: Mapping[str, str], timeout: float, folder: str | Path = "."
) -> Measurement:
    """Runs a command to its end.

    `ru_maxrss` will not do for the memory: a child inherits its parent's, and several processes have no common one.

    Args:
        command: The program and its arguments.
        environment: Variables beside those of this process.
        timeout: Seconds after which it is killed with all its descendants, which counts as a failure.
        folder: Where it runs.
    """
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        memory = _TreeMemory(process.pid)
        late = False
        try:
            while True:
                try:
                    process.wait(SAMPLE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    memory.sample()
                if time.perf_counter() - started > timeout:
                    late = True
                    process.kill()
            seconds = time.perf_counter() - started
        finally:
            memory.kill_rest()  # All of them, if it is we who are interrupted.
        errors.seek(0)
        message = f"killed after {timeout:.0f} s" if late else last_line(errors.read())
    code = process.returncode
    return Measurement(seconds, memory.peak_bytes, code, message if code else "")


def last_line(text: str) -> str:
    """Returns the last line that says something, cut to `MESSAGE_CHARACTERS`."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)]
    return lines[-1][:MESSAGE_CHARACTERS] if lines else ""


class _TreeMemory:
    """The memory of a process and its descendants, daemons that have left their parent included."""

    def __init__(self, root: int) -> None:
        self._known = {root}
        self.peak_bytes = 0

    def sample(self) -> None:
        parents = _parents()
        self._known &= parents.keys()
        grown = True
        while grown:
            young = {pid for pid, parent in parents.items() if parent in self._known} - self._known
            self._known |= young
            grown = bool(young)
        together = sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in self._known)
        greatest = max((_kilobytes(pid, "status", "VmHWM:") for pid in self._known), default=0)
        self.peak_bytes = max(self.peak_bytes, 1024 * together, 1024 * greatest)

    def kill_rest(self) -> None:
        """Ends what the process has left behind, and waits for its end, so that the next one has the machine alone."""
        for pid in self._known & _parents().keys():
            with contextlib.suppress(ProcessLookupError):
                process = os.pidfd_open(pid)
                try:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    select.select([process], [], [], KILL_SECONDS)
                finally:
                    os.close(process)


def _parents() -> dict[int, int]:
    """Returns the parent of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = Path(entry, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _kilobytes(pid: int, file: str, field: str) -> int:
    try:
        lines = Path("/proc", str(pid), file).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
