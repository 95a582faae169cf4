"""How many cores this process may use."""

import os
from pathlib import Path
from typing import Final

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_LIMIT: Final = (
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def available_cores() -> int:
    """Returns the cores that this process may use, at least 1: by its affinity and by its control group's quota.

    A container's quota is what Kubernetes calls a CPU limit; `os.cpu_count` counts the whole machine's cores there.
    """
    # macOS and Windows know no affinity.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, quota))


def _quota() -> int | None:
    if _CGROUP_LIMIT.exists():
        quota, period = _CGROUP_LIMIT.read_text().split()
    elif all(file.exists() for file in _CGROUP_V1_LIMIT):
        quota, period = (file.read_text().strip() for file in _CGROUP_V1_LIMIT)
    else:
        return None
    return int(quota) // int(period) if quota.isdigit() else None
