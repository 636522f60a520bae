# SPDX-License-Identifier: Apache-2.0
"""How much memory this process may have, and how much it had at most."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_bytes(device: torch.device) -> int | None:
    """Bytes that are free: of a GPU, or of the machine within the limit of a container.

    None where the system does not say.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = _MACHINE.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        limits.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: there is no limit
        limit = int((_GROUP / "memory.max").read_text())
        limits.append(limit - int((_GROUP / "memory.current").read_text()))
    return max(min(limits), 0) if limits else None


def forget_peak(device: torch.device) -> None:
    """Let `peak_bytes` tell of what follows alone, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")  # man 5 proc: resets VmHWM


def peak_bytes(device: torch.device) -> int:
    """The most that the process had at once: on the GPU, or of main memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    return _status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def current_bytes(device: torch.device) -> int:
    """What the process has now."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return _status("VmRSS:")


def _status(name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
