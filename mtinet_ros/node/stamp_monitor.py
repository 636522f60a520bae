# SPDX-License-Identifier: Apache-2.0
"""Checks of the headers that come with images: frame_id, stamp, and clocks that disagree."""

from __future__ import annotations

import math
from collections.abc import Callable

from std_msgs.msg import Header

from mtinet_ros.messages.header import stamp_of
from mtinet_ros.node.problem_log import ProblemLog

# Longest step of a simulation's or a bag's /clock, in seconds.
_CLOCK_STEP = 0.2

# Images of a running camera do not come that late, in seconds: such a stamp is of another clock.
_OTHER_CLOCK = 3600.0

# Stamps may come out of order by less than this; more is a jump. Nanoseconds.
_TIME_JUMP = 1_000_000_000


class StampMonitor:
    """Notices frames without a usable frame_id or stamp, and time that runs backwards.

    Attributes:
        age: ROS time minus the newest stamp, in seconds; NaN if unknown.
    """

    def __init__(
        self,
        camera: str,
        problems: ProblemLog,
        now: Callable[[], int],
        is_simulated: Callable[[], bool],
    ) -> None:
        """Begin before the first image.

        Args:
            camera: Name of the camera.
            problems: Log of what is wrong.
            now: ROS time in nanoseconds; 0 while simulated time has not begun.
            is_simulated: Whether ROS time is simulated.
        """
        self._camera = camera
        self._problems = problems
        self._now = now
        self._is_simulated = is_simulated
        self.reset()

    def reset(self) -> None:
        """Forget the stream, before it begins anew."""
        self.age = math.nan
        self._last_stamp = 0  # nanoseconds

    def check(self, header: Header) -> None:
        """Report what is wrong with an image's header, and what is no longer wrong."""
        self._check_frame_id(header.frame_id)
        stamp = stamp_of(header)
        if stamp <= 0:
            self._problems.report_once(
                f"{self._camera}: stamp",
                f"is {'zero' if stamp == 0 else 'before 1970'}; the driver does not set it",
            )
            self.age = math.nan
            return
        self._problems.resolve(f"{self._camera}: stamp")
        self._measure_age(stamp)
        if stamp < self._last_stamp - _TIME_JUMP:
            self._problems.report(
                f"{self._camera}: time",
                f"jumped back by {(self._last_stamp - stamp) * 1e-9:.1f} s (a bag looping?)",
            )
        else:
            self._problems.resolve(f"{self._camera}: time")
        self._last_stamp = stamp

    def plausible_age(self, matters: bool) -> float:
        """Seconds between the newest stamp and its receipt; 0 where the stamp does not tell.

        Args:
            matters: Whether something depends on it, so that it is reported if it does not tell.
        """
        subject = f"{self._camera}: stamp age"
        if matters and self.age > _OTHER_CLOCK:
            self._problems.report_once(
                subject,
                "is more than an hour, so that max_age_ms counts from an image's receipt; does "
                "the driver stamp with another clock, or does a bag play without use_sim_time?",
            )
        else:
            self._problems.resolve(subject)
        return self.age if 0.0 < self.age <= _OTHER_CLOCK else 0.0

    def _check_frame_id(self, frame_id: str) -> None:
        subject = f"{self._camera}: frame_id"
        if frame_id.startswith("/"):
            self._problems.report_once(
                subject,
                f"is {frame_id!r}; a frame_id of ROS 2 has no leading slash, and tf2 finds none "
                "that has: change it in the driver",
            )
            return
        if "optical" in frame_id:
            self._problems.resolve(subject)
            return
        self._problems.report_once(
            subject,
            f"is {frame_id!r}; images need the camera's optical frame (REP 103), usually named "
            "..._optical_frame, or all that uses the outputs is turned wrongly",
        )

    def _measure_age(self, stamp: int) -> None:
        subject = f"{self._camera}: clock"
        now = self._now()
        if now == 0:  # of simulated time alone
            self._problems.report_once(
                subject,
                "use_sim_time is set and no time has come on /clock yet; is the simulation or bag "
                "running, with --clock?",
            )
            self.age = math.nan
            return
        self._problems.resolve(subject)
        age = (now - stamp) * 1e-9
        # /clock comes in steps, between which images are stamped ahead of it.
        self.age = 0.0 if -_CLOCK_STEP < age < 0.0 and self._is_simulated() else age
