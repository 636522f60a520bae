# SPDX-License-Identifier: Apache-2.0
"""A ROS node that plays pictures as a camera: Image and CameraInfo at a steady rate."""

from __future__ import annotations

from collections.abc import Iterator

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mtinet_ros.demo.sources import Shot
from mtinet_ros.node.message_factory import camera_info_message, encode_image

# As a camera driver's image_transport publishes.
_CAMERA_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
)


class CameraPlayer(Node):
    """Publishes `camera/image_raw` and `camera/camera_info` in frame `camera_optical_frame`."""

    def __init__(self, shots: Iterator[Shot], rate: float) -> None:
        """Begin to play, at `rate` Hz."""
        super().__init__("camera")
        self._shots = shots
        self._images = self.create_publisher(Image, "camera/image_raw", _CAMERA_QOS)
        self._infos = self.create_publisher(CameraInfo, "camera/camera_info", _CAMERA_QOS)
        self.create_timer(1.0 / rate, self._play)

    def _play(self) -> None:
        image, camera = next(self._shots)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id="camera_optical_frame")
        if camera is not None:
            self._infos.publish(camera_info_message(camera, header))
        self._images.publish(encode_image(image, "rgb8", header))
