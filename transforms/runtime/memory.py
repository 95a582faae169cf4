"""How much memory this process may still take, and how much it has taken."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_STATUS: Final = Path("/proc/self/status")
_CGROUP_FILES: Final = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
# Where the machine says nothing of its memory.
_DEFAULT: Final = 4 * 2**30

# A parameter of mallopt(3).
_MMAP_THRESHOLD: Final = -3
_LARGE_ARRAY_BYTES: Final = 4 * 2**20


def available_memory() -> int:
    """Returns the bytes that this process may still take: of the machine, its control group and its own limits."""
    return min(_limits(), default=_DEFAULT)


def _limits() -> Iterator[int]:
    if _MEMINFO.exists():
        lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        yield int(lines["MemAvailable"].split()[0]) * 1024
    for most, taken in _CGROUP_FILES:
        if Path(most).exists() and (text := Path(most).read_text().strip()).isdigit():
            yield max(int(text) - int(Path(taken).read_text()), 0)
    if sys.platform != "win32":
        import resource  # Which Windows lacks.

        for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
            soft, _ = resource.getrlimit(kind)
            if soft != resource.RLIM_INFINITY:
                yield max(soft - peak_memory(), 0)


def limit_memory() -> None:
    """Lets this process take no more than what is free now: what a stranger's file asks for is refused by the system.

    Without it the system, or a control group, would end some process, perhaps another one. Does nothing where the
    system does not say what a process has (Linux does).
    """
    if not _STATUS.exists():
        return
    import resource

    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = int(lines["VmData"].split()[0]) * 1024 + available_memory()
    if soft == resource.RLIM_INFINITY or allowed < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def peak_memory() -> int:
    """Returns the most bytes that this process has had in memory at once so far.

    Linux counts it in `VmHWM`; `ru_maxrss`, which stands in where there is no /proc, begins with the parent's there.
    Windows has neither: 0.
    """
    if sys.platform == "win32":
        return 0
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # Which Windows lacks.

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def return_freed_memory() -> None:
    """Has the memory of large arrays given back to the system as soon as they are freed.

    Else glibc keeps, for each thread, what is freed of arrays below a size that grows with them, up to 32 MB
    (mallopt(3), M_MMAP_THRESHOLD); a training that reads its table in blocks, pass after pass, took half as much memory
    again. Does nothing where the C library has no such setting.
    """
    _call_c("mallopt", _MMAP_THRESHOLD, _LARGE_ARRAY_BYTES)


def trim_heap() -> None:
    """Gives back to the system what the C library keeps of memory that was freed so far (malloc_trim(3)).

    glibc keeps what is freed of millions of small arrays, or thousands of some 100 kB, below whatever was taken since.
    Does nothing where the C library cannot.
    """
    _call_c("malloc_trim", 0)


def _call_c(name: str, *arguments: int) -> None:
    """Calls a function of the C library, where it has one of that name."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if library is not None and hasattr(library, name):
        getattr(library, name)(*arguments)
