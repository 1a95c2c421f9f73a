"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time for each period of so many microseconds, where a container has a quota."""


def available_cores(quota: Path = CGROUP_QUOTA) -> int:
    """The cores that this process may use: its affinity, or a container's quota if that is less.

    Args:
        quota: the file of the quota.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        budget, period = quota.read_text().split()
        return max(1, min(cores, int(budget) // int(period)))
    except (OSError, ValueError):  # no cgroup, or "max": no quota
        return cores
