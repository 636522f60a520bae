# SPDX-License-Identifier: Apache-2.0
"""Subscribes to a running perception node, for as long as the viewer is open."""

from __future__ import annotations

import os
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String

from mtinet_ros.errors import InputError
from mtinet_ros.messages.header import stamp_of
from mtinet_ros.messages.image_message import decode_compressed_image, decode_image, is_compressed
from mtinet_ros.node.adaptive_subscription import AdaptiveSubscription
from mtinet_ros.node.camera_outputs import LATCHED_QOS
from mtinet_ros.node.end_signals import EndSignals
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.transport_profile import ensure_transport_profile
from mtinet_ros.viewer.messages import LEGEND, SHOWN, show
from mtinet_ros.viewer.scene import Scene

_LOOK = 1.0  # seconds between two looks at what is published
_HEARD_WITHIN = 0.1  # seconds until Ctrl-C is heard where nothing comes in
_PATIENCE = 3  # looks before it is told that there is nothing

# The picture comes from the camera's own topic: asking the node for it would cost the robot.
_TYPES: dict[str, type[Any]] = {
    LEGEND: String,
    "segmentation/image": Image,
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "normals/color": Image,
    "points": PointCloud2,
}


class Viewer(Node):
    """Shows what one perception node publishes, camera by camera as they appear."""

    def __init__(self, scene: Scene, perception: str) -> None:
        """Look for topics of a node.

        Args:
            scene: Where everything is shown.
            perception: Name of the node, e.g. `/perception`.
        """
        super().__init__("mtinet_view")
        self._scene = scene
        self._prefix = perception.rstrip("/") + "/"
        self._problems = ProblemLog(self.get_logger())
        self._subscribed: set[str] = set()
        self._kept: list[Any] = []
        self._looks = 0
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_timer(_LOOK, self._look)
        self._look()

    def _look(self) -> None:
        """Subscribe to what has appeared."""
        self._looks += 1
        for topic, _ in self.get_topic_names_and_types():
            camera, _, name = topic.removeprefix(self._prefix).partition("/")
            is_there = self.count_publishers(topic) > 0
            if topic.startswith(self._prefix) and name in _TYPES and is_there:
                self._subscribe(topic, camera, name)
        if self._subscribed:
            self._problems.resolve("topics", "there they are")
        elif self._looks > _PATIENCE:
            self._problems.report(
                "topics",
                f"nothing below {self._prefix} is published; is the node configured? --node names "
                "another",
            )

    def _subscribe(self, topic: str, camera: str, name: str) -> None:
        if topic in self._subscribed:
            return
        self._subscribed.add(topic)
        self._scene.add_camera(camera)

        def on_message(message: Any) -> None:
            self._guarded(f"{camera}: {name}", lambda: show(self._scene, camera, name, message))

        if name == LEGEND:
            self.create_subscription(String, topic, on_message, LATCHED_QOS)
        else:
            self._kept.append(AdaptiveSubscription(self, _TYPES[name], topic, on_message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        node = self._prefix.strip("/")
        for status in message.status:
            owner, _, camera = status.name.partition(": ")
            values = {pair.key: pair.value for pair in status.values}
            if owner == node and "topic" in values:
                self._scene.add_camera(camera)
                self._scene.set_time(stamp_of(message.header))
                self._scene.status(camera, values)
                self._subscribe_to_picture(values["topic"], camera)

    def _subscribe_to_picture(self, topic: str, camera: str) -> None:
        if topic in self._subscribed:
            return
        self._subscribed.add(topic)
        message_type = CompressedImage if topic.endswith("/compressed") else Image

        def on_picture(message: Any) -> None:
            decode = decode_compressed_image if is_compressed(message) else decode_image
            self._guarded(f"{camera}: image", lambda: self._show_picture(camera, message, decode))

        self._kept.append(AdaptiveSubscription(self, message_type, topic, on_picture))

    def _show_picture(self, camera: str, message: Any, decode: Any) -> None:
        image = decode(message)
        self._scene.set_time(stamp_of(message.header))
        self._scene.image(camera, image)

    def _guarded(self, subject: str, action: Any) -> None:
        """Do it; a message that cannot be shown is reported and the next one looked at."""
        try:
            action()
        except InputError as error:
            self._problems.report(subject, str(error))
        else:
            self._problems.resolve(subject, "can be shown again")


def watch(scene: Scene, perception: str, signals: EndSignals) -> None:
    """Show a running node until Ctrl-C or SIGTERM, or until the middleware is shut down.

    Args:
        scene: Where.
        perception: Name of the node, e.g. `/perception`.
        signals: Of the user.
    """
    assert set(_TYPES) <= set(SHOWN)
    ensure_transport_profile(os.environ)
    # Without rclpy's own handlers, which would shut the middleware down beneath a callback.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        executor = SingleThreadedExecutor()
        executor.add_node(Viewer(scene, perception))
        while not signals.has_come:
            executor.spin_once(timeout_sec=_HEARD_WITHIN)
    except ExternalShutdownException:
        pass
    finally:
        rclpy.try_shutdown()
