# SPDX-License-Identifier: Apache-2.0
"""How a CPU backend computes: in which precision, and on how many of the machine's CPUs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.errors import ConfigurationError

CPU_PRECISIONS = ("auto", "f32", "bf16")
"""What may be asked for; `auto` is bf16 where the CPU multiplies it and the model's card has a
report that it costs little, else what the model was exported for."""

MAX_THREADS = 1024


@dataclass(frozen=True)
class CpuSettings:
    """How a model runs on the CPU; GPU backends ignore it.

    Attributes:
        precision: One of `CPU_PRECISIONS`.
        threads: Most threads that compute; 0: as many as `available_cpus`, the limit in any case.
    """

    precision: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ConfigurationError: Naming the value and what is allowed.
        """
        if self.precision not in CPU_PRECISIONS:
            raise ConfigurationError(
                f"cpu_precision {self.precision!r} is unknown; allowed: "
                f"{', '.join(CPU_PRECISIONS)}"
            )
        if not 0 <= self.threads <= MAX_THREADS:
            raise ConfigurationError(
                f"cpu_threads is {self.threads}; allowed: 0 (all available) to {MAX_THREADS}"
            )

    def thread_count(self) -> int:
        """Threads to start: more than there are CPUs would only wait for one another."""
        available = available_cpus()
        return min(self.threads, available) if self.threads else available


def available_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may keep busy: its affinity, and the quota of its container.

    A quota of 2.5 CPUs counts as two: with three threads all of them would be halted for the rest
    of each period, in the middle of a frame.

    Args:
        cgroups: Where control groups are mounted, of either version.
    """
    allowed = len(os.sched_getaffinity(0))
    quotas = [_quota(folder) for folder in _own_groups(cgroups)]
    return max(1, min([allowed, *(int(quota) for quota in quotas if quota is not None)]))


def _own_groups(cgroups: Path) -> list[Path]:
    """Folders with limits that hold for this process: its group's and those above it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    folders = {cgroups, cgroups / "cpu"}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups  # version 1 names controllers
        folder = root / path.lstrip("/")
        # Inside a container the path may be the host's, and not be there: then the root's holds.
        folders.update(f for f in (folder, *folder.parents) if f.is_relative_to(root))
    return sorted(folders)


def _quota(folder: Path) -> float | None:
    """CPUs' worth of time that a group gets, None where it is not limited."""
    # https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and scheduler/sched-bwc.html.
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    if not (quota.isdigit() and period.isdigit() and int(period)):  # `max`, or -1: no limit
        return None
    return int(quota) / int(period)
