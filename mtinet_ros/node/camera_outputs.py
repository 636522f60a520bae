# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera: what is advertised, what is wanted, predictions as messages."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header, String

from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.node.camera_info_message import camera_info_message
from mtinet_ros.node.image_message import ImageEncoder
from mtinet_ros.node.parameters import explained_overrides
from mtinet_ros.node.rarely_checked_group import RarelyCheckedGroup
from mtinet_ros.node.settings import CameraSettings
from mtinet_ros.perception.depth import to_millimeters
from mtinet_ros.perception.point_cloud import POINT_DTYPE, point_cloud
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.visualization.colors import LabelColors, colorize_normals

LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


Encode = Callable[[Prediction, Header], Any]


def _output_qos() -> QoSProfile:
    """A new profile each time: rclpy writes a topic's overrides into the one it is given.

    Reliable on purpose: a best-effort depth topic gives depth_image_proc's subscriber nothing.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
    )


@dataclass(frozen=True)
class OutputTopic:
    """One topic of a camera.

    Attributes:
        name: Below ~/<camera>/.
        message_type: Message class.
        needs: Outputs of the model it is made from, named as in `Prediction`.
        encode: Makes the message from a prediction; None where it cannot (no CameraInfo).
    """

    name: str
    message_type: type[Any]
    needs: frozenset[str]
    encode: Encode


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
            ConfigurationError: An override of a topic's quality of service is not allowed.
        """
        self._node = node
        self._card = card
        self.depth_encoding = depth_encoding
        self.points_stride = camera.points_stride
        self._colors = LabelColors(card.palette)
        self._encoder = ImageEncoder()  # publishing copies, so one message after the other
        self._publishers: list[tuple[OutputTopic, Any]] = []
        # The worker may still publish a frame when the executor's thread takes the topics away.
        self._publishing = threading.Lock()
        self._legends: list[tuple[Any, Any]] = []
        try:
            self._advertise(f"~/{camera.name}/", camera)
        except Exception:
            self.destroy()
            raise

    def _advertise(self, prefix: str, camera: CameraSettings) -> None:
        events = RarelyCheckedGroup()
        for topic in self._topics(camera):
            name = prefix + topic.name
            with explained_overrides(self._node.resolve_topic_name(name)):
                publisher = self._node.create_lifecycle_publisher(
                    topic.message_type,
                    name,
                    _output_qos(),
                    callback_group=events,
                    qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                )
            self._publishers.append((topic, publisher))
        for name, legend in self._legend_messages(camera):
            publisher = self._node.create_lifecycle_publisher(
                type(legend), prefix + name, LATCHED_QOS, callback_group=events
            )
            self._legends.append((legend, publisher))

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

    def _topics(self, camera: CameraSettings) -> list[OutputTopic]:
        labels, depth, normals = (frozenset({name}) for name in ("labels", "depth", "normals"))
        nothing: frozenset[str] = frozenset()
        tasks = self._card.tasks
        topics: list[OutputTopic] = []
        if "segmentation" in camera.outputs and "semseg" in tasks:
            topics += [
                OutputTopic("segmentation/image", Image, labels, self._label_image),
                OutputTopic("segmentation/color", Image, labels, self._label_color),
                OutputTopic("segmentation/camera_info", CameraInfo, nothing, _camera_info),
            ]
        if "overlay" in camera.outputs and "semseg" in tasks:
            topics.append(OutputTopic("segmentation/overlay", Image, labels, self._overlay))
        if "depth" in camera.outputs and "depth" in tasks:
            topics += [
                OutputTopic("depth/image", Image, depth, self._depth_image),
                OutputTopic("depth/camera_info", CameraInfo, nothing, _camera_info),
            ]
        if "normals" in camera.outputs and "normals" in tasks:
            topics += [
                OutputTopic("normals/image", Image, normals, self._normals_image),
                OutputTopic("normals/color", Image, normals, self._normals_color),
                OutputTopic("normals/camera_info", CameraInfo, nothing, _camera_info),
            ]
        if "points" in camera.outputs and "depth" in tasks:
            fields = (("semseg", labels), ("normals", normals))
            needs = depth.union(*(output for task, output in fields if task in tasks))
            topics.append(OutputTopic("points", PointCloud2, needs, self._points))
        return topics

    def _legend_messages(self, camera: CameraSettings) -> list[tuple[str, Any]]:
        card = self._card
        if "segmentation" not in camera.outputs or "semseg" not in card.tasks:
            return []
        classes = [
            {"id": index, "name": name, "color": list(card.palette[index])}
            for index, name in enumerate(card.class_names)
        ]
        legend = {"model": card.name, "void_id": VOID_ID, "classes": classes}
        messages: list[tuple[str, Any]] = [
            ("segmentation/label_info_json", String(data=json.dumps(legend, ensure_ascii=False)))
        ]
        try:
            from vision_msgs.msg import LabelInfo, VisionClass
        except ImportError:
            return messages
        class_map = [
            VisionClass(class_id=index, class_name=name)
            for index, name in enumerate(card.class_names)
        ]
        messages.append(("segmentation/label_info", LabelInfo(class_map=class_map)))
        return messages

    def _label_image(self, prediction: Prediction, header: Header) -> Image:
        return self._encoder.encode(_required(prediction.labels), "mono8", header)

    def _label_color(self, prediction: Prediction, header: Header) -> Image:
        return self._encoder.encode(
            self._colors.colorize(_required(prediction.labels)), "rgb8", header
        )

    def _overlay(self, prediction: Prediction, header: Header) -> Image:
        overlay = self._colors.overlay(prediction.image, _required(prediction.labels))
        return self._encoder.encode(overlay, "rgb8", header)

    def _depth_image(self, prediction: Prediction, header: Header) -> Image:
        depth = _required(prediction.depth)
        if self.depth_encoding == "16UC1":
            return self._encoder.encode(to_millimeters(depth), "16UC1", header)
        return self._encoder.encode(depth, "32FC1", header)

    def _normals_image(self, prediction: Prediction, header: Header) -> Image:
        return self._encoder.encode(_required(prediction.normals), "32FC3", header)

    def _normals_color(self, prediction: Prediction, header: Header) -> Image:
        return self._encoder.encode(
            colorize_normals(_required(prediction.normals)), "rgb8", header
        )

    def _points(self, prediction: Prediction, header: Header) -> PointCloud2 | None:
        if prediction.camera is None:
            return None
        return point_cloud_message(point_cloud(prediction, self.points_stride), header)


def point_cloud_message(points: NDArray[np.void], header: Header) -> PointCloud2:
    """`POINT_DTYPE` [H,W] as an organised PointCloud2; not dense, since invalid points are NaN."""
    datatypes = {"f4": PointField.FLOAT32, "u4": PointField.UINT32}
    fields = [
        PointField(name=name, offset=offset, datatype=datatypes[dtype.str[1:]], count=1)
        for name, (dtype, offset, *_) in (POINT_DTYPE.fields or {}).items()
    ]
    height, width = points.shape
    message = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=sys.byteorder == "big",
        point_step=POINT_DTYPE.itemsize,
        row_step=POINT_DTYPE.itemsize * width,
        is_dense=False,
    )
    # Not assigned to the field, which copies what it is given.
    message.data.frombytes(np.ascontiguousarray(points).view(np.uint8).data.cast("B"))
    return message


def _camera_info(prediction: Prediction, header: Header) -> CameraInfo | None:
    return prediction.camera and camera_info_message(prediction.camera, header)


def _has_subscribers(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)


def _required(array: NDArray[Any] | None) -> NDArray[Any]:
    assert array is not None, "the topic's `needs` were not asked of the model"
    return array
