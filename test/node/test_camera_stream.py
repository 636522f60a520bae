# SPDX-License-Identifier: Apache-2.0
"""What a camera's user reads of frames that are too old."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("rclpy")
from support.recording_logger import RecordingLogger

from mtinet_ros.node.camera_stream import CameraStream
from mtinet_ros.node.frame_processor import Frame
from mtinet_ros.node.problem_log import ProblemLog

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("age_when_received", "waited", "is_too_old", "why"),
    [
        (0.0, 0.0, False, ""),
        (0.19, 0.0, False, ""),
        (0.3, 0.0, True, "older than that when they come in; is the network slow, or do"),
        (0.0, 0.3, True, "they wait too long for the network; fewer cameras"),
        (0.15, 0.15, True, "they wait too long for the network; fewer cameras"),
    ],
)
def test_too_old_is_said_with_what_made_it_so(
    age_when_received: float, waited: float, is_too_old: bool, why: str
) -> None:
    problems = ProblemLog(RecordingLogger())  # type: ignore[arg-type]
    unused: Any = None
    stream = CameraStream("front", unused, unused, problems)
    frame = Frame(stream, None, time.monotonic() - waited, age_when_received)
    assert not frame.is_too_old, "without a limit nothing is"
    stream.max_age = 0.2
    assert frame.is_too_old == is_too_old
    if is_too_old:
        stream.report_too_old(frame)
        (told,) = problems.current("front: ")
        assert told.startswith("age: images are older than max_age_ms (200) and dropped: ")
        assert why in told
