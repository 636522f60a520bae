# SPDX-License-Identifier: Apache-2.0
"""What hardly ever happens costs nothing per frame, and is noticed all the same."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from mtinet_ros.node import rarely_checked_group
from mtinet_ros.node.rarely_checked_group import RarelyCheckedGroup


def test_it_looks_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(rarely_checked_group.time, "monotonic", lambda: now)
    group = RarelyCheckedGroup()
    looked = []
    for step in range(300):
        now = 100.0 + step / 100
        looked.append(group.can_execute(None))
    assert all(4 <= sum(looked[second * 100 :][:100]) <= 6 for second in range(3))


@pytest.mark.ros
@pytest.mark.usefixtures("prompt_discovery")
def test_a_subscriber_who_asks_for_too_much_is_still_noticed() -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node("talker", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        publisher = node.create_publisher(
            String, "rare", QoSProfile(depth=1), callback_group=RarelyCheckedGroup()
        )
        events = []
        for event in publisher.event_handlers:
            event.callback = events.append
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(String, "rare", lambda _: None, latched)
        deadline = time.monotonic() + 10.0
        while not events and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
        assert events
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
