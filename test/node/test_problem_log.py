# SPDX-License-Identifier: Apache-2.0
"""One clear line for what goes wrong, never a flood, and a word when it is over."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")

from mtinet_ros.node import problem_log as module
from mtinet_ros.node.problem_log import ProblemLog

pytestmark = pytest.mark.ros


class Log:
    """Stands in for rclpy's logger, and for the clock."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 100.0

    def warning(self, line: str) -> None:
        self.lines.append(line)

    info = warning

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(module, "time", log)
    return log


def problems(log: Log) -> ProblemLog:
    logger: Any = log
    return ProblemLog(logger)


def test_the_same_trouble_is_repeated_rarely_and_counted(log: Log) -> None:
    told = problems(log)
    for _ in range(900):  # 30 Hz for 30 s
        told.report("front: image", "is broken")
        log.now += 1 / 30
    log.now += 0.1
    told.report("front: image", "is broken")
    assert log.lines == [
        "front: image: is broken",
        "front: image: is broken (899 more times since the last such line)",
    ]


def test_garbage_that_is_wrong_in_ever_new_ways_is_no_flood(log: Log) -> None:
    told = problems(log)
    for number in range(10000):
        told.report("front: image", f"{number} bytes are too few")
        log.now += 1 / 1000  # ten seconds in all
    assert len(log.lines) <= 10
    log.now += 30.0
    told.report("front: image", "is broken")
    assert "9990 more times" in log.lines[-1]


def test_good_and_bad_frames_in_turn_are_no_flood_either(log: Log) -> None:
    told = problems(log)
    for _ in range(300):
        told.report("front: image", "is broken")
        told.resolve("front: image", "readable again")
        log.now += 1 / 30  # ten seconds in all
    assert len(log.lines) <= 2 * 10
    assert log.lines[:2] == ["front: image: is broken", "front: image: readable again"]


def test_a_fact_is_told_once_until_it_is_over(log: Log) -> None:
    told = problems(log)
    for _ in range(3):
        for _ in range(100):
            told.report_once("front: silence", "no image")
            log.now += 1.0
        told.resolve("front: silence", "images come")
        told.resolve("front: silence", "images come")
    assert log.lines == ["front: silence: no image", "front: silence: images come"] * 3


def test_subjects_do_not_hush_each_other(log: Log) -> None:
    told = problems(log)
    told.report("front: image", "is broken")
    told.report("rear: image", "is broken")
    assert len(log.lines) == 2


def test_diagnostics_name_the_subject_and_only_what_is_wrong_now(log: Log) -> None:
    told = problems(log)
    told.report("front: image", "is broken")
    told.report("front: image", "is short")  # not logged so soon, but true
    told.report_once("front: frame_id", "is ''")
    told.report_once("rear: frame_id", "is 'x'")
    assert told.current("front: ") == ["image: is short", "frame_id: is ''"]
    told.resolve("front: image")
    assert told.current("front: ") == ["frame_id: is ''"]
