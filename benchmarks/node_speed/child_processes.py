# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the one that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have this process killed when its parent dies; Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_like_an_interruption() -> None:
    """Have Ctrl-C and a termination raise KeyboardInterrupt, so that no process is left behind.

    A shell starts background jobs with SIGINT ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def before_exec() -> None:
    """The same for a program about to be started, which handles signals by itself."""
    os.setsid()  # the terminal's Ctrl-C is not for it
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def cpu_seconds(pid: int) -> float:
    """CPU time that the living threads of a process have used."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:  # it has just ended
            continue
    return total * 1e-9


def footprint(pid: int) -> dict[str, float]:
    """Resident memory [MiB], open files and threads of a process."""
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    return {
        "rss_mib": int(status.split("VmRSS:")[1].split()[0]) / 1024,
        "files": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
    }
