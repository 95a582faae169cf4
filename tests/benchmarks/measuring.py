"""Runs a command as a process of its own and measures it: wall time, start-up included, CPU time, and peak memory."""

import contextlib
import dataclasses
import os
import resource
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
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

# Notes of libraries that say nothing of why a process failed.
_NOISE: Final = ("I0000", "WARNING", "INFO")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a process took.

    Attributes:
        seconds: Wall time from its start to its end.
        cpu_seconds: CPU time of the process and its descendants: what the kernel counts for those that were waited for,
            or the sum of samples of all that were seen, whichever is more.
        peak_bytes: The most memory of the process and its descendants at one time: the sum of their proportional set
            sizes (PSS, a page that several share counts once), sampled, or the greatest resident set that a single one
            of them reached by the kernel's own account (VmHWM), whichever is more.
        exit_code: Its exit code; below 0 the signal that ended it.
        message: If it failed, the last line on standard error.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int
    message: str = ""


def measure(
    command: Sequence[str], environment: Mapping[str, str], timeout: float, folder: str | Path = "."
) -> Measurement:
    """Runs a command to its end.

    `ru_maxrss` will not do for the memory: a child inherits its parent's, and several processes have no common one.
    Nor will `ru_utime` alone for the CPU: it lacks descendants that nobody waits for, such as daemons.

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
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        tree = _Tree(process.pid)
        late = False
        try:
            while True:
                try:
                    process.wait(SAMPLE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    tree.sample()
                if time.perf_counter() - started > timeout:
                    late = True
                    process.kill()
            seconds = time.perf_counter() - started
            waited_for = _cpu_seconds(resource.getrusage(resource.RUSAGE_CHILDREN)) - _cpu_seconds(used)
        finally:
            tree.kill_rest()  # All of them, if it is we who are interrupted.
        errors.seek(0)
        message = f"killed after {timeout:.0f} s" if late else last_line(errors.read())
    code = process.returncode
    return Measurement(seconds, max(waited_for, tree.cpu_seconds), tree.peak_bytes, code, message if code else "")


def last_line(text: str) -> str:
    """Returns the last line that says something, cut to `MESSAGE_CHARACTERS`."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)]
    return lines[-1][:MESSAGE_CHARACTERS] if lines else ""


def _cpu_seconds(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


class _Tree:
    """The memory and CPU time of a process and its descendants, daemons that have left their parent included."""

    def __init__(self, root: int) -> None:
        self._known = {root}
        self._cpu_seconds: dict[int, float] = {}
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of each of them when it was seen last, together."""
        return sum(self._cpu_seconds.values())

    def sample(self) -> None:
        stats = _stats()
        parents = {pid: stat.parent for pid, stat in stats.items()}
        self._known &= parents.keys()
        grown = True
        while grown:
            young = {pid for pid, parent in parents.items() if parent in self._known} - self._known
            self._known |= young
            grown = bool(young)
        self._cpu_seconds.update({pid: stats[pid].cpu_seconds for pid in self._known})
        together = sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in self._known)
        greatest = max((_kilobytes(pid, "status", "VmHWM:") for pid in self._known), default=0)
        self.peak_bytes = max(self.peak_bytes, 1024 * together, 1024 * greatest)

    def kill_rest(self) -> None:
        """Ends what the process has left behind, and waits for its end, so that the next one has the machine alone."""
        for pid in self._known & _stats().keys():
            with contextlib.suppress(ProcessLookupError):
                process = os.pidfd_open(pid)
                try:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    select.select([process], [], [], KILL_SECONDS)
                finally:
                    os.close(process)


@dataclasses.dataclass(frozen=True)
class _Stat:
    parent: int
    cpu_seconds: float


def _stats() -> dict[int, _Stat]:
    """Returns the parent and the CPU time of every process (proc_pid_stat(5))."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = Path(entry, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = stat.rpartition(")")[2].split()
            found[int(entry.name)] = _Stat(int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND)
    return found


def _kilobytes(pid: int, file: str, field: str) -> int:
    try:
        lines = Path("/proc", str(pid), file).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
