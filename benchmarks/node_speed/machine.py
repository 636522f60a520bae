# SPDX-License-Identifier: Apache-2.0
"""What the figures were measured on and with."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.node_speed.pictures import ROOT
from mtinet_ros.node.transport_profile import profile_variable

_PACKAGES = ("rclpy", "numpy", "opencv-python", "openvino", "onnxruntime")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, load, versions, middleware and transport profile."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "middleware": os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp (default)"),
        "transport": os.environ.get(
            profile_variable(os.environ), "ours: config/fastdds_profile.xml; plain: none"
        ),
        "revision": revision(),
        "at": datetime.now(timezone.utc).isoformat(timespec="minutes"),
    }


def revision() -> str:
    """The commit that is measured, with a hash of what differs from it; empty outside of git."""
    try:
        commit = _git("describe", "--always", "--exclude=*").decode().strip()
        changes = _git("diff", "HEAD", "--", "mtinet_ros", "benchmarks", "config")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+{hashlib.sha256(changes).hexdigest()[:7]}" if changes else commit


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    notable = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni") if flag in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(notable)})"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
