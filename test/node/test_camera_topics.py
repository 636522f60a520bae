# SPDX-License-Identifier: Apache-2.0
"""Remapping leads to the camera that was meant: each rule once, siblings follow the image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("rclpy")
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from mtinet_ros.node.adaptive_subscription import AdaptiveSubscription
from mtinet_ros.node.camera_topics import CameraTopics, camera_topics
from mtinet_ros.node.settings import CAMERA_PARAMETERS, NODE_PARAMETERS, make_settings

pytestmark = pytest.mark.ros


@contextmanager
def node(*rules: str) -> Iterator[Node]:
    context = rclpy.Context()
    arguments = [word for rule in rules for word in ("-r", rule)]
    rclpy.init(args=["--ros-args", *arguments] if rules else [], context=context)
    try:
        yield Node("robot", context=context)
    finally:
        rclpy.shutdown(context=context)


def camera(**changes: Any) -> Any:
    values = {name: spec.default for name, spec in NODE_PARAMETERS.items()}
    block = {name: spec.default for name, spec in CAMERA_PARAMETERS.items()}
    block["image_topic"] = "camera/image_raw"
    values.update({f"camera.{name}": value for name, value in {**block, **changes}.items()})
    return make_settings(values).cameras[0]


@pytest.mark.parametrize(
    ("changes", "rules", "image", "camera_info"),
    [
        ({}, [], "/camera/image_raw", "/camera/camera_info"),
        ({}, ["camera/image_raw:=/usb/image_raw"], "/usb/image_raw", "/usb/camera_info"),
        (
            {"transport": "compressed"},
            ["camera/image_raw:=/usb/image_raw"],
            "/usb/image_raw/compressed",
            "/usb/camera_info",
        ),
        (
            {"transport": "compressed"},
            ["camera/image_raw/compressed:=/net/jpeg"],
            "/net/jpeg",
            "/net/camera_info",
        ),
        (
            {"transport": "compressed"},
            ["camera/image_raw/compressed:=/usb/image_raw/compressed"],
            "/usb/image_raw/compressed",
            "/usb/camera_info",
        ),
        (
            {},
            ["camera/image_raw:=/usb/image_raw", "camera/camera_info:=/calibration"],
            "/usb/image_raw",
            "/calibration",
        ),
        (
            {"camera_info_topic": "/my/camera_info"},
            ["camera/image_raw:=/usb/image_raw"],
            "/usb/image_raw",
            "/my/camera_info",
        ),
        # Two cameras plugged in the wrong way round.
        (
            {"image_topic": "/left/image_raw"},
            ["/left/image_raw:=/right/image_raw", "/right/image_raw:=/left/image_raw"],
            "/right/image_raw",
            "/right/camera_info",
        ),
        # A chain of rules goes one step.
        (
            {},
            ["camera/image_raw:=/a/image_raw", "/a/image_raw:=/b/image_raw"],
            "/a/image_raw",
            "/a/camera_info",
        ),
    ],
)
def test_topics_follow_the_rules(
    changes: dict[str, str], rules: list[str], image: str, camera_info: str
) -> None:
    with node(*rules) as robot:
        topics = camera_topics(robot, camera(**changes))
        for name, expected in ((topics.image, image), (topics.camera_info, camera_info)):
            subscription = robot.create_subscription(String, name, lambda _: None, 1)
            assert subscription.topic_name == expected


@pytest.mark.parametrize("rules", [["/left:=/right", "/right:=/left"], ["/left:=/right"]])
def test_a_subscription_hears_the_remapped_topic_and_no_other(
    ros_domain: int, rules: list[str]
) -> None:
    received: list[str] = []
    with node(*rules) as robot, node() as world:
        publishers = {
            name: world.create_publisher(String, f"/{name}", 1) for name in ("left", "right")
        }
        subscription = AdaptiveSubscription(
            robot, String, "/left", lambda message: received.append(message.data)
        )
        assert subscription.topic == "/right"
        executor = SingleThreadedExecutor(context=robot.context)
        executor.add_node(robot)
        deadline = time.monotonic() + 10.0
        heard: list[str] = []
        # A message may come before the name of the node that sent it.
        while not (received and heard == ["robot"]) and time.monotonic() < deadline:
            for name, publisher in publishers.items():
                publisher.publish(String(data=name))
            executor.spin_once(timeout_sec=0.1)
            heard = [p.node_name for p in subscription.publishers()]
        assert heard == ["robot"]
        executor.shutdown()
    assert set(received) == {"right"}


def test_a_rule_that_leads_a_followed_name_on_is_told() -> None:
    """rclpy applies rules to every name: the calibration would be another camera's, unsaid."""
    rules = ["/left/image_raw:=/right/image_raw", "/right/camera_info:=/left/camera_info"]
    with node(*rules) as robot:
        warnings: list[str] = []
        logger = robot.get_logger()
        robot.get_logger = lambda: type(  # type: ignore[method-assign]
            "Logger", (), {"warning": lambda _, text: warnings.append(text), "info": logger.info}
        )()
        camera_topics(robot, camera(image_topic="/left/image_raw"))
        assert len(warnings) == 1
        assert "add a rule for /left/camera_info" in warnings[0]


def test_names_stay_as_they_are_without_rules() -> None:
    with node() as robot:
        expected = CameraTopics("camera/image_raw", "/camera/camera_info")
        assert camera_topics(robot, camera()) == expected
