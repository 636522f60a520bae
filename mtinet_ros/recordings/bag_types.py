# SPDX-License-Identifier: Apache-2.0
"""Messages as rosbags has them: dataclasses that it serializes, and the types' definitions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.messages.camera_info_message import camera_info_fields
from mtinet_ros.messages.image_message import image_fields
from mtinet_ros.messages.output_topics import (
    CAMERA_INFO,
    IMAGE,
    LABEL_INFO,
    POINT_CLOUD,
    STRING,
)
from mtinet_ros.messages.point_cloud_message import point_cloud_fields, point_fields
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.recordings.frame import Header

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

# vision_msgs 4, which rosbags does not bring.
_VISION_CLASS = "uint16 class_id\nstring class_name"
_LABEL_INFO = "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold"


@contextlib.contextmanager
def rosbags_needed() -> Iterator[None]:
    """Around what imports rosbags.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"bags need rosbags, which cannot be imported here ({error}); "
            "pip install 'mtinet_ros[process]'"
        ) from error


def open_typestore() -> Typestore:
    """The types of ROS 2 Humble, and those of vision_msgs that the node publishes.

    What is published has not changed since Humble. Bags that bring no definitions of their types
    are from Humble or before.

    Raises:
        ConfigurationError: rosbags is not installed.
    """
    with rosbags_needed():
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(
        {
            **get_types_from_msg(_VISION_CLASS, "vision_msgs/msg/VisionClass"),
            **get_types_from_msg(_LABEL_INFO, LABEL_INFO),
        }
    )
    return store


class BagMessages:
    """Makes messages that a typestore serializes (`MessageFactory`)."""

    def __init__(self, typestore: Typestore) -> None:
        """Use the types of `open_typestore`."""
        self._types = typestore.types

    def header(self, header: Header) -> Any:
        """std_msgs/Header; seconds are cut to 32 bits, as of stamps in ROS 1 after 2038."""
        seconds, nanoseconds = divmod(header.stamp, 1_000_000_000)
        seconds = (seconds + 2**31) % 2**32 - 2**31
        stamp = self._types["builtin_interfaces/msg/Time"](seconds, nanoseconds)
        return self._types["std_msgs/msg/Header"](stamp, header.frame_id)

    def image(self, pixels: NDArray[Any], encoding: str, header: Any) -> Any:
        """See `MessageFactory`; the data is that of the pixels where they lie in one piece."""
        fields = image_fields(pixels, encoding)
        return self._types[IMAGE](header=header, data=_bytes_of(pixels), **fields)

    def camera_info(self, camera: CameraModel, header: Any) -> Any:
        """See `MessageFactory`."""
        roi = self._types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        fields = camera_info_fields(camera)
        return self._types[CAMERA_INFO](header=header, binning_x=0, binning_y=0, roi=roi, **fields)

    def point_cloud(self, points: NDArray[np.void], header: Any) -> Any:
        """See `MessageFactory`."""
        make_field = self._types["sensor_msgs/msg/PointField"]
        return self._types[POINT_CLOUD](
            header=header,
            fields=[make_field(**field) for field in point_fields(points)],
            data=_bytes_of(points),
            **point_cloud_fields(points),
        )

    def string(self, text: str) -> Any:
        """See `MessageFactory`."""
        return self._types[STRING](text)

    def label_info(self, class_names: Sequence[str]) -> Any:
        """See `MessageFactory`; under no header, as a latched message of the node has it."""
        make_class = self._types["vision_msgs/msg/VisionClass"]
        class_map = [make_class(index, name) for index, name in enumerate(class_names)]
        header = self.header(Header(stamp=0, frame_id=""))
        return self._types[LABEL_INFO](header=header, class_map=class_map, threshold=0.0)


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
