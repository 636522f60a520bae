# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera: what is advertised, what is wanted, predictions as messages."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from mtinet_ros.messages.output_topics import (
    CAMERA_INFO,
    IMAGE,
    POINT_CLOUD,
    ClassClouds,
    OutputTopic,
    legend_messages,
    output_topics,
)
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.message_factory import RosMessages
from mtinet_ros.node.parameters import explained_overrides
from mtinet_ros.node.rarely_checked_group import RarelyCheckedGroup
from mtinet_ros.node.settings import CameraSettings
from mtinet_ros.perception.prediction import Prediction

_MESSAGE_TYPES = {IMAGE: Image, CAMERA_INFO: CameraInfo, POINT_CLOUD: PointCloud2}

LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def _output_qos() -> QoSProfile:
    """A new profile each time: rclpy writes a topic's overrides into the one it is given.

    Reliable on purpose: a best-effort depth topic gives depth_image_proc's subscriber nothing.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
    )


class CameraOutputs:
    """Publishers of one camera, and the messages they send."""

    def __init__(
        self, node: LifecycleNode, camera: CameraSettings, card: ModelCard, depth_encoding: str
    ) -> None:
        """Advertise what both the camera's settings and the model's tasks allow.

        Args:
            node: Node that publishes, once it is active.
            camera: Parameters of the camera, with the outputs to advertise.
            card: Card of the model: tasks, class names, palette.
            depth_encoding: `32FC1` or `16UC1`.

        Raises:
            ConfigurationError: An override of a topic's quality of service is not allowed, or a
                class that is named is none of the model's.
        """
        self._node = node
        self._card = card
        self._outputs = camera.outputs
        self._messages = RosMessages()  # publishing copies, so one message after the other
        self._publishers: list[tuple[OutputTopic, Any]] = []
        # The worker may still publish a frame when the executor's thread takes the topics away.
        self._publishing = threading.Lock()
        self._legends: list[tuple[Any, Any]] = []
        try:
            self._advertise(f"~/{camera.name}/", self._topics(camera, depth_encoding))
        except Exception:
            self.destroy()
            raise

    def _topics(self, camera: CameraSettings, depth_encoding: str) -> list[OutputTopic]:
        return output_topics(
            self._card,
            self._outputs,
            camera.points_stride,
            depth_encoding,
            self._messages,
            ClassClouds(camera.obstacles_stride, camera.ground_classes, camera.class_fields),
        )

    def _advertise(self, prefix: str, topics: list[OutputTopic]) -> None:
        events = RarelyCheckedGroup()
        for topic in topics:
            name = prefix + topic.name
            with explained_overrides(self._node.resolve_topic_name(name)):
                publisher = self._node.create_lifecycle_publisher(
                    _MESSAGE_TYPES[topic.type_name],
                    name,
                    _output_qos(),
                    callback_group=events,
                    qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                )
            self._publishers.append((topic, publisher))
        for legend in legend_messages(self._card, self._outputs, self._messages):
            publisher = self._node.create_lifecycle_publisher(
                type(legend.message), prefix + legend.name, LATCHED_QOS, callback_group=events
            )
            self._legends.append((legend.message, publisher))

    def apply(self, camera: CameraSettings, depth_encoding: str) -> None:
        """Take over what may change at any time, from the next frame."""
        topics = self._topics(camera, depth_encoding)
        publishers = [publisher for _, publisher in self._publishers]
        # The same topics in the same order, or none are left. One assignment, for others read it.
        self._publishers = list(zip(topics, publishers, strict=False))

    def publish_legends(self) -> None:
        """Latch the class legend; call it when the node has become active."""
        for legend, publisher in self._legends:
            publisher.publish(legend)

    def wanted_outputs(self) -> frozenset[str] | None:
        """Outputs of the model whose topics have subscribers; None if no topic has any."""
        needs = [
            topic.needs for topic, publisher in self._publishers if _has_subscribers(publisher)
        ]
        return frozenset().union(*needs) if needs else None

    @property
    def is_active(self) -> bool:
        """Whether what is published gets out: the topics are there, and the node is active."""
        return any(publisher.is_activated for _, publisher in self._publishers)

    def publish(self, prediction: Prediction, header: Header) -> bool:
        """Publish what has subscribers, every message with this very header.

        Who subscribes after the network was asked gets the first message from the next frame.

        Returns:
            Whether the frame was answered: it is not if the node was deactivated meanwhile.
        """
        with self._publishing:
            if not self.is_active:
                return False
            for topic, publisher in self._publishers:
                is_there = all(getattr(prediction, name) is not None for name in topic.needs)
                if is_there and _has_subscribers(publisher):
                    message = topic.encode(prediction, header)
                    if message is not None:
                        publisher.publish(message)
            return True

    def destroy(self) -> None:
        """Stop advertising; a frame that is being published is first."""
        with self._publishing:
            publishers = [publisher for _, publisher in (*self._publishers, *self._legends)]
            self._publishers, self._legends = [], []
        for publisher in publishers:
            self._node.destroy_lifecycle_publisher(publisher)


def _has_subscribers(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)
