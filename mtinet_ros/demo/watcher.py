# SPDX-License-Identifier: Apache-2.0
"""A ROS node that looks at everything the perception node says about one camera."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from mtinet_ros.messages.image_message import decode_image
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.camera_outputs import LATCHED_QOS
from mtinet_ros.visualization.colors import colorize_depth
from mtinet_ros.visualization.montage import UNTRAINED_NOTE, Panel, depth_title, montage

# Of each task of a model: its topics, and which of them the montage shows.
_TOPICS: dict[str, dict[str, type[Any]]] = {
    "semseg": {
        "segmentation/image": Image,
        "segmentation/overlay": Image,
        "segmentation/camera_info": CameraInfo,
    },
    "depth": {"depth/image": Image, "depth/camera_info": CameraInfo},
    "normals": {"normals/image": Image, "normals/color": Image},
}
_SHOWN = {
    "semseg": "segmentation/overlay", "depth": "depth/image", "normals": "normals/color",
}  # fmt: skip
_REMEMBERED = 1000  # messages of a topic that its rate and latency are told of
_MOST_PENDING = 100  # frames that wait for the rest of their outputs
# Deep enough that making a montage loses nothing that came in meanwhile.
_WATCHING_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)


@dataclass
class TopicRecord:
    """Messages of one topic: their number, and of the last the latencies and times in seconds."""

    count: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    received: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def line(self, topic: str) -> str:
        """Rate and latency as one line of the table."""
        if len(self.received) < 2:
            return f"  {topic:<48} {self.count:>5} messages"
        rate = (len(self.received) - 1) / max(self.received[-1] - self.received[0], 1e-9)
        median = float(np.median(self.latencies)) * 1e3
        return (
            f"  {topic:<48} {self.count:>5} messages {rate:6.2f} Hz {median:7.1f} ms "
            "from stamp to receipt (median)"
        )


class Watcher(Node):
    """Subscribes to a camera and to its outputs, and makes a montage of each complete frame."""

    def __init__(
        self, card: ModelCard, on_montage: Callable[[int, NDArray[np.uint8]], None]
    ) -> None:
        """Subscribe.

        Args:
            card: Card of the model: which outputs there are, and whether to say on every montage
                that the weights are random.
            on_montage: Called with the number of the frame (from 1) and uint8 [H,W,3] RGB.
        """
        super().__init__("watcher")
        self.frames = 0
        self._note = UNTRAINED_NOTE if card.untrained else ""
        self._tasks = [task for task in _TOPICS if task in card.tasks]
        self._shown = {_SHOWN[task] for task in self._tasks}
        self._on_montage = on_montage
        self._legend: list[tuple[str, tuple[int, int, int]]] = []
        self._records: dict[str, TopicRecord] = {}
        self._pending: dict[int, dict[str, Image]] = {}
        base = "/perception/camera/"
        for task in self._tasks:
            for name, message_type in _TOPICS[task].items():
                self._subscribe_to(base + name, message_type, name)
        self._subscribe_to("/camera/image_raw", Image, "image")
        self.create_subscription(
            String, base + "segmentation/label_info_json", self._on_legend, LATCHED_QOS
        )

    def table(self) -> str:
        """Every topic with its rate and latency."""
        return "\n".join(record.line(topic) for topic, record in self._records.items())

    def _subscribe_to(self, topic: str, message_type: type[Any], name: str) -> None:
        record = self._records[topic] = TopicRecord()

        def receive(message: Any) -> None:
            now = self.get_clock().now().nanoseconds
            stamp = Time.from_msg(message.header.stamp).nanoseconds
            record.count += 1
            record.latencies.append((now - stamp) * 1e-9)
            record.received.append(now * 1e-9)
            if name in self._shown or name == "image":
                self._collect(stamp, name, message)

        self.create_subscription(message_type, topic, receive, _WATCHING_QOS)

    def _on_legend(self, message: String) -> None:
        classes = json.loads(message.data)["classes"]
        self._legend = [(c["name"], tuple(c["color"])) for c in classes]

    def _collect(self, stamp: int, name: str, message: Image) -> None:
        """Messages of one frame carry one stamp; a frame is complete when all have come."""
        parts = self._pending.setdefault(stamp, {})
        parts[name] = message
        if len(parts) < len(self._shown) + 1:
            if len(self._pending) > _MOST_PENDING:
                del self._pending[min(self._pending)]
            return
        # Older frames that are still incomplete were dropped by the network for newer ones.
        self._pending = {s: p for s, p in self._pending.items() if s > stamp}
        self.frames += 1
        panels: list[Panel] = [("camera", decode_image(parts["image"]))]
        for task in self._tasks:
            message = parts[_SHOWN[task]]
            if task == "depth":
                depth = np.frombuffer(message.data, np.float32)
                depth = depth.reshape(message.height, message.width)
                panels.append((depth_title(depth), colorize_depth(depth)))
            else:
                title = "segmentation" if task == "semseg" else task
                panels.append((title, decode_image(message)))
        self._on_montage(self.frames, montage(panels, self._legend, self._note))
