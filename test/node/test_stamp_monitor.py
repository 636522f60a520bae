# SPDX-License-Identifier: Apache-2.0
"""Headers as drivers get them wrong: each fault is told once, and its end is noticed."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("rclpy")
from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from support.recording_logger import RecordingLogger

from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.stamp_monitor import StampMonitor

pytestmark = pytest.mark.ros

OPTICAL = "camera_optical_frame"


class Clock:
    """ROS time, in seconds."""

    def __init__(self, seconds: float = 100.0, simulated: bool = False) -> None:
        self.seconds = seconds
        self.simulated = simulated
        self.problems = ProblemLog(RecordingLogger())  # type: ignore[arg-type]

    def monitor(self) -> StampMonitor:
        return StampMonitor(
            "front", self.problems, lambda: int(self.seconds * 1e9), lambda: self.simulated
        )

    def wrong(self) -> list[str]:
        return [problem.partition(":")[0] for problem in self.problems.current("front: ")]


def header(seconds: float, frame_id: str = OPTICAL) -> Header:
    whole = math.floor(seconds)
    return Header(frame_id=frame_id, stamp=Time(sec=whole, nanosec=round((seconds - whole) * 1e9)))


def test_a_good_header_has_an_age_and_no_problem() -> None:
    clock = Clock()
    monitor = clock.monitor()
    assert math.isnan(monitor.age)
    monitor.check(header(99.75))
    assert monitor.age == pytest.approx(0.25)
    assert clock.wrong() == []


@pytest.mark.parametrize("frame_id", ["", "camera_link", "/camera_optical_frame"])
def test_a_frame_that_is_not_optical_is_named_until_it_is(frame_id: str) -> None:
    clock = Clock()
    monitor = clock.monitor()
    monitor.check(header(100.0, frame_id))
    (problem,) = clock.problems.current("front: ")
    assert repr(frame_id) in problem
    monitor.check(header(100.0))
    assert clock.wrong() == []


@pytest.mark.parametrize("seconds", [0.0, -5.5])
def test_a_stamp_that_was_never_set_has_no_age(seconds: float) -> None:
    clock = Clock()
    monitor = clock.monitor()
    monitor.check(header(99.0))
    monitor.check(header(seconds))
    assert clock.wrong() == ["stamp"]
    assert math.isnan(monitor.age)


def test_a_jump_back_is_told_and_jitter_is_not() -> None:
    clock = Clock()
    monitor = clock.monitor()
    for seconds in (90.0, 89.5):
        monitor.check(header(seconds))
        assert clock.wrong() == []
    monitor.check(header(10.0))
    (problem,) = clock.problems.current("front: ")
    assert "jumped back by 79.5 s" in problem
    monitor.check(header(10.1))
    assert clock.wrong() == []


@pytest.mark.parametrize(("simulated", "age"), [(False, -0.1), (True, 0.0)])
def test_a_stamp_ahead_by_a_clock_step_is_a_skew_in_real_time_only(
    simulated: bool, age: float
) -> None:
    clock = Clock(simulated=simulated)
    monitor = clock.monitor()
    monitor.check(header(100.1))
    assert monitor.age == pytest.approx(age)
    monitor.check(header(103.0))
    assert monitor.age == pytest.approx(-3.0), "no clock steps that far"


def test_simulated_time_that_has_not_begun_is_named() -> None:
    clock = Clock(0.0, simulated=True)
    monitor = clock.monitor()
    monitor.check(header(5.0))
    assert clock.wrong() == ["clock"]
    assert math.isnan(monitor.age)
    clock.seconds = 5.5
    monitor.check(header(5.1))
    assert clock.wrong() == []
    assert monitor.age == pytest.approx(0.4)


def test_a_reset_forgets_the_last_stamp() -> None:
    clock = Clock()
    monitor = clock.monitor()
    monitor.check(header(90.0))
    monitor.reset()
    assert math.isnan(monitor.age)
    monitor.check(header(10.0))
    assert clock.wrong() == []


def test_an_age_counts_where_the_stamp_tells_one_and_else_the_reason_is_told() -> None:
    clock = Clock(seconds=100_000.0)
    monitor = clock.monitor()
    ages = {99_999.75: 0.25, 100_000.5: 0.0, 0.0: 0.0, 5.0: 0.0, 99_000.0: 1000.0}
    for stamp, age in ages.items():
        monitor.check(header(stamp))
        assert monitor.plausible_age(matters=True) == pytest.approx(age)
        # Uptime in place of the time of day, or a bag without its clock.
        assert ("stamp age" in clock.wrong()) == (stamp == 5.0)
    monitor.check(header(5.0))
    assert monitor.plausible_age(matters=False) == 0.0
    assert "stamp age" not in clock.wrong(), "nothing depends on it"
