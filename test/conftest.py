# SPDX-License-Identifier: Apache-2.0
"""What holds for every test."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell's background job starts with SIGINT ignored, and would hand that down to the processes
# that tests interrupt; a handler of our own is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers of pytest-xdist share the cores. PyTorch reads this on import, here and in subprocesses.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _WORKERS = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))


@pytest.fixture(scope="session")
def prompt_discovery() -> None:
    """Nodes are found in a fraction of a second by the participants of this process.

    Fast DDS reads its settings once, when a process makes its first participant; the variable is
    taken back, because the nodes under test shall have theirs.
    """
    rclpy = pytest.importorskip("rclpy")
    from mtinet_ros.node.transport_profile import profile_variable

    with pytest.MonkeyPatch.context() as patch:
        profile = Path(__file__).parent / "data" / "prompt_discovery.xml"
        patch.setenv(profile_variable(os.environ), str(profile))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")  # heard by nobody
        context = rclpy.Context()
        rclpy.init(context=context)
        rclpy.create_node("first_participant", context=context).destroy_node()
        rclpy.shutdown(context=context)
