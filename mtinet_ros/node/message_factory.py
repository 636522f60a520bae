# SPDX-License-Identifier: Apache-2.0
"""Messages of rclpy's classes, made of arrays and camera models.

Image data fills the `array.array('B')` that a message has through a memoryview: assigning one
would copy it, and any other form has rclpy look at every element (rclpy#763).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header, String

from mtinet_ros.messages.camera_info_message import camera_info_fields
from mtinet_ros.messages.image_message import image_fields
from mtinet_ros.messages.point_cloud_message import point_cloud_fields, point_fields
from mtinet_ros.perception.camera_model import CameraModel

_KEPT_MESSAGES = 8  # one for each size that the outputs of a camera have


class RosMessages:
    """Makes the messages of one camera (`MessageFactory`).

    Images are made in memory that is used again: new memory costs more than filling it.
    """

    def __init__(self) -> None:
        """Begin without memory."""
        self._images: dict[int, Image] = {}  # by bytes of data; few sizes take turns

    def image(self, pixels: NDArray[Any], encoding: str, header: Header) -> Image:
        """See `encode_image`; the message holds until the next of the same size is asked for."""
        message = self._images.pop(pixels.nbytes, None) or _image_of(pixels.nbytes)
        self._images[pixels.nbytes] = message
        if len(self._images) > _KEPT_MESSAGES:
            del self._images[next(iter(self._images))]
        return _fill(message, pixels, encoding, header)

    def camera_info(self, camera: CameraModel, header: Header) -> CameraInfo:
        """See `camera_info_message`."""
        return camera_info_message(camera, header)

    def point_cloud(self, points: NDArray[np.void], header: Header) -> PointCloud2:
        """See `point_cloud_message`."""
        return point_cloud_message(points, header)

    def string(self, text: str) -> String:
        """A String."""
        return String(data=text)

    def label_info(self, class_names: Sequence[str]) -> Any:
        """A LabelInfo of classes by id; None where vision_msgs is not installed."""
        try:
            from vision_msgs.msg import LabelInfo, VisionClass
        except ImportError:
            return None
        class_map = [
            VisionClass(class_id=index, class_name=name) for index, name in enumerate(class_names)
        ]
        return LabelInfo(class_map=class_map)


def encode_image(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """An Image message holding these pixels.

    Args:
        pixels: [h,w] or [h,w,channels] of the dtype that `encoding` says, e.g. float32 for 32FC1.
        encoding: A name of sensor_msgs/image_encodings.hpp.
        header: Used as it is, not copied.
    """
    return _fill(_image_of(pixels.nbytes), pixels, encoding, header)


def _image_of(size: int) -> Image:
    """A message with room for so many bytes."""
    message = Image()
    # Never assigned to the field, which copies whatever it is given.
    message.data.frombytes(bytes(size))
    return message


def _fill(message: Image, pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    np.copyto(np.frombuffer(message.data, pixels.dtype).reshape(pixels.shape), pixels)
    message.header = header
    for name, value in image_fields(pixels, encoding).items():
        setattr(message, name, value)
    return message


def camera_info_message(camera: CameraModel, header: Header) -> CameraInfo:
    """The CameraInfo of an image that `camera` describes; ROI and binning are accounted for."""
    return CameraInfo(header=header, **camera_info_fields(camera))


def point_cloud_message(points: NDArray[np.void], header: Header) -> PointCloud2:
    """Points [H,W] as an organised PointCloud2; not dense, since invalid points are NaN."""
    fields = [PointField(**field) for field in point_fields(points)]
    message = PointCloud2(header=header, fields=fields, **point_cloud_fields(points))
    # Not assigned to the field, which copies what it is given.
    if points.size:  # a view of nothing cannot be cast
        message.data.frombytes(np.ascontiguousarray(points).view(np.uint8).data.cast("B"))
    return message
