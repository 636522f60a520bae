# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM end the node after what it is about, at whatever moment they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtinet_ros.node.end_signals import EndSignals, given_back

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def signals_of_the_tests() -> Iterator[None]:
    with given_back():
        yield


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_early", [True, False])
def test_the_listener_hears_of_a_signal_that_comes_or_has_come(
    number: signal.Signals, is_early: bool
) -> None:
    signals, heard = EndSignals(), threading.Event()
    assert not signals.has_come
    if is_early:
        os.kill(os.getpid(), number)
    signals.tell(heard.set)
    if not is_early:
        assert not heard.wait(0.05)
        os.kill(os.getpid(), number)
    assert heard.wait(10.0)
    assert signals.has_come
    signals.ignore()


def test_another_signal_and_one_at_the_very_end_are_none_to_hear_of() -> None:
    signals, heard = EndSignals(), threading.Event()
    signals.tell(heard.set)
    former = signal.signal(signal.SIGUSR1, lambda *_: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, former)
    signals.ignore()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not heard.is_set()
    assert not signals.has_come


def test_before_anything_is_under_way_the_process_ends_at_once() -> None:
    code = (
        "import os, signal; from mtinet_ros.node.end_signals import end_at_once; end_at_once()\n"
        "os.kill(os.getpid(), signal.SIGINT); os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("second", "impatient", "status"),
    [(signal.SIGINT, 0.0, 130), (signal.SIGINT, 60.0, 0), (signal.SIGTERM, 0.0, 0)],
)
def test_ctrl_c_again_ends_what_does_not_end_but_a_signal_that_comes_twice_or_launch_does_not(
    second: signal.Signals, impatient: float, status: int
) -> None:
    """`ros2 launch` sends SIGTERM five seconds after SIGINT, and SIGKILL after five more."""
    code = (
        "import os, signal, threading, time; from mtinet_ros.node import end_signals\n"
        f"end_signals._IMPATIENT, heard = {impatient}, threading.Event()\n"
        "end_signals.EndSignals().tell(heard.set)\n"
        "os.kill(os.getpid(), signal.SIGINT); heard.wait()\n"
        f"os.kill(os.getpid(), {int(second)}); time.sleep({60 if status else 0.1})\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == status


def run_node(changes: str, model: Path) -> subprocess.CompletedProcess[str]:
    """The node, loading a model at once, as a process that runs some code before."""
    code = f"{changes}sys.exit(process.run(sys.argv))\n"
    arguments = ("--ros-args", "-p", f"model:={model}", "-p", "build_only:=true")
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )


@pytest.mark.ros
def test_a_signal_amid_the_loading_of_a_model_leaves_no_shared_memory_behind(
    tiny_model: Path, ros_domain: int
) -> None:
    """It cannot be interrupted. 70 MB each time, until nothing is left for any node."""
    code = (
        "import os, re, signal, sys, time; from mtinet_ros.node import perception_node, process\n"
        "def load(*arguments):\n"
        "    for line in open('/proc/self/maps'):\n"
        "        if found := re.search('/dev/shm/fastdds_[0-9a-f]+', line):\n"
        "            print(found.group(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "perception_node._load = load\n"
    )
    ended = run_node(code, tiny_model)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    segments = [Path(line) for line in ended.stdout.splitlines() if line.startswith("/dev/shm/")]
    assert segments
    assert not [segment for segment in segments if segment.exists()]


@pytest.mark.ros
def test_a_signal_amid_a_transition_prints_nothing_and_ends_with_0(
    tiny_model: Path, ros_domain: int
) -> None:
    """rclpy's own handlers took the middleware from under it: a FATAL line with a traceback."""
    code = (
        "import os, signal, sys, time; from mtinet_ros.node import perception_node, process\n"
        "read = perception_node.read_model_card\n"
        "def signalled(path):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.2)\n"
        "    return read(path)\n"
        "perception_node.read_model_card = signalled\n"
    )
    ended = run_node(code, tiny_model)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    for word in ("Traceback", "FATAL", "rosout", "invalid"):
        assert word not in said
