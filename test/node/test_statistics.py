# SPDX-License-Identifier: Apache-2.0
"""The numbers that /diagnostics reports of a camera."""

from __future__ import annotations

import math

import pytest

from mtinet_ros.node.statistics import DropReason, StreamStatistics

START = 1000.0


def subscribed() -> StreamStatistics:
    statistics = StreamStatistics()
    statistics.subscribed(START)
    return statistics


def test_a_steady_stream_shows_its_rates_and_latency() -> None:
    statistics = subscribed()
    for number in range(200):
        received = START + number / 20
        statistics.frame_received(received)
        if number % 2:
            statistics.frame_answered(received, received + 0.03)
        else:
            statistics.frame_dropped(DropReason.REPLACED)
    summary = statistics.summary(START + 10)
    assert summary.input_rate == pytest.approx(20, rel=0.02)
    assert summary.output_rate == pytest.approx(10, rel=0.02)
    assert summary.latency_p50 == pytest.approx(0.03)
    assert summary.age_of_last_frame == pytest.approx(0.05)
    assert summary.dropped == {"newer frame came": 100}
    assert (summary.received, summary.published) == (200, 100)


def test_one_slow_frame_in_fifty_shows_in_p99_only() -> None:
    statistics = subscribed()
    for number in range(50):
        now = START + number / 10
        statistics.frame_answered(now - (0.5 if number == 7 else 0.02), now)
    summary = statistics.summary(START + 5)
    assert summary.latency_p50 == pytest.approx(0.02)
    assert summary.latency_p99 > 0.2


def test_right_after_the_start_rates_are_not_inflated() -> None:
    statistics = subscribed()
    statistics.frame_received(START + 0.001)
    assert statistics.summary(START + 0.01).input_rate <= 1.0


def test_the_past_is_forgotten_but_drops_are_totals() -> None:
    statistics = subscribed()
    statistics.frame_received(START)
    statistics.frame_answered(START, START + 0.1)
    for _ in range(3):
        statistics.frame_dropped(DropReason.MAX_RATE)
    summary = statistics.summary(START + 60)
    assert summary.input_rate == summary.output_rate == 0.0
    assert math.isnan(summary.latency_p50)
    assert math.isnan(summary.latency_p99)
    assert summary.age_of_last_frame == pytest.approx(60)
    assert summary.dropped == {"max_rate": 3}
    statistics.subscribed(START + 61)
    summary = statistics.summary(START + 62)
    assert (summary.received, summary.published, summary.dropped) == (1, 1, {"max_rate": 3})


def test_a_camera_that_never_sent_ages_from_when_it_was_subscribed_to() -> None:
    assert subscribed().summary(START + 7).age_of_last_frame == pytest.approx(7)
