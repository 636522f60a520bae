# SPDX-License-Identifier: Apache-2.0
"""What a simulator knows of a picture, as it publishes it: images of ids, distances, directions.

Messages may be of any library's classes, as long as they have the fields of sensor_msgs.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.messages.image_message import samples
from mtinet_ros.perception.camera_model import CameraModel

COLOR_CHANNELS = ("red", "green", "blue")

_SHOWN = 60  # characters of a name from outside that go into a sentence
_TYPES = {
    "image": ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"),
    "names": ("std_msgs/msg/String",),
}
_PNG = b"\x89PNG"
_Kinds = dict[str, type[np.generic]]
_IDS: _Kinds = {
    "mono8": np.uint8, "8UC1": np.uint8, "8SC1": np.int8, "mono16": np.uint16,
    "16UC1": np.uint16, "16SC1": np.int16, "32SC1": np.int32,
}  # fmt: skip
_COLORS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0)}
_DEPTHS: _Kinds = {
    "32FC1": np.float32,
    "64FC1": np.float64,
    "16UC1": np.uint16,
    "mono16": np.uint16,
}
_MILLIMETERS = ("16UC1", "mono16")


def check_type(task: str, topic: str, type_name: str) -> None:
    """Refuse a topic that cannot hold what it is named for.

    Args:
        task: "semseg", "depth", "normals" or "names".
        topic: For the message.
        type_name: E.g. "sensor_msgs/msg/Image".

    Raises:
        ConfigurationError: Its messages are no images, or, of names, no strings.
    """
    allowed = _TYPES["names" if task == "names" else "image"]
    if type_name not in allowed:
        raise ConfigurationError(
            f"{topic} is of type {type_name[:_SHOWN]}; {' or '.join(allowed)} is needed"
        )


def decode_labels(message: Any, channel: str = "") -> NDArray[np.int64]:
    """Ids, or colors as 0xRRGGBB, of a segmentation.

    Args:
        message: An Image (one channel of integers, or colors), or a CompressedImage of png.
        channel: Of colors, the one that holds the id; empty: the color is what is meant, or the
            id where all channels are equal (Gazebo's label map).

    Returns:
        int64 [h,w]; an image of colors [h,w,3] RGB, if `channel` is empty.

    Raises:
        InputError: It cannot be read, or holds no ids.
    """
    if hasattr(message, "format"):
        pixels = _decode_png(message)
        if pixels.ndim == 3:
            pixels = pixels[..., 2::-1]  # OpenCV has BGR(A)
    else:
        encoding = message.encoding
        if encoding in _IDS:
            pixels = samples(message, _IDS[encoding])[..., 0]
        elif encoding in _COLORS:
            pixels = samples(message, np.uint8, 4 if "a8" in encoding else 3)
            pixels = pixels[..., _COLORS[encoding]]
        else:
            raise InputError(
                f"labels come as {encoding[:_SHOWN]!r}; ids in {', '.join(_IDS)} or colors in "
                f"{', '.join(_COLORS)} can be read"
            )
    if channel and pixels.ndim == 2:
        raise InputError(f"labels have one channel and so no {channel} one; leave :{channel} away")
    if channel:
        pixels = pixels[..., COLOR_CHANNELS.index(channel)]
    return pixels.astype(np.int64)


def decode_depth(message: Any) -> NDArray[np.float32]:
    """Depth or distance in metres, float32 [h,w]; 0 where the message says NaN, infinity or none.

    Raises:
        InputError: It cannot be read, or is no depth.
    """
    if hasattr(message, "format"):
        raise InputError(
            f"depth comes compressed ({message.format[:_SHOWN]!r}), which is not read; record the "
            "raw topic"
        )
    if message.encoding not in _DEPTHS:
        raise InputError(
            f"depth comes as {message.encoding[:_SHOWN]!r}; {', '.join(_DEPTHS)} can be read "
            "(floats are metres, integers millimetres)"
        )
    pixels = samples(message, _DEPTHS[message.encoding])[..., 0]
    meters = pixels.astype(np.float32)
    if message.encoding in _MILLIMETERS:
        meters *= np.float32(0.001)
    meters[~(np.isfinite(meters) & (meters > 0))] = 0
    return meters


def decode_normals(message: Any) -> NDArray[np.float32]:
    """Unit normals, float32 [h,w,3]; zero where the message has none.

    Raises:
        InputError: It cannot be read, or holds other than directions.
    """
    if hasattr(message, "format") or message.encoding != "32FC3":
        said = message.format if hasattr(message, "format") else message.encoding
        raise InputError(
            f"normals come as {said[:_SHOWN]!r}; 32FC3 can be read (unit vectors in the camera's "
            "optical frame)"
        )
    normals = samples(message, np.float32, 3).astype(np.float32)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    known = np.isfinite(length[..., 0]) & (length[..., 0] > 0)
    normals[~known] = 0
    if known.any() and not 0.98 < float(np.median(length[known])) < 1.02:
        raise InputError(
            f"normals are {float(np.median(length[known])):.3g} long; unit vectors are needed, "
            "not colors of them"
        )
    np.divide(normals, length, out=normals, where=known[..., np.newaxis])
    return normals


def facing_share(normals: NDArray[np.float32], camera: CameraModel) -> float:
    """Share of the known normals (float32 [h,w,3]) that face the camera they are seen by.

    In the optical frame, all of a visible surface do: n·r ≤ 0 for the ray r.
    """
    x, y = camera.ray_slopes()
    along = normals[..., 0] * x + normals[..., 1] * y[:, np.newaxis] + normals[..., 2]
    known = normals.any(axis=-1)
    return float((along[known] <= 0.05).mean()) if known.any() else 1.0


def along_axis(distance: NDArray[np.float32], camera: CameraModel) -> NDArray[np.float32]:
    """Depth along the optical axis of distances along the pixels' rays; float32 [h,w] both."""
    x, y = camera.ray_slopes()
    return np.asarray(distance / np.sqrt(1 + x**2 + (y**2)[:, np.newaxis]), np.float32)


def header_stamp(data: bytes) -> int:
    """Nanoseconds of the stamp that begins a serialized message with a header first.

    >>> header_stamp(bytes((0, 1, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0)))
    2000000005
    """
    order = "little" if data[1:2] == b"\x01" else "big"
    seconds = int.from_bytes(data[4:8], order, signed=True)  # type: ignore[arg-type]
    return seconds * 1_000_000_000 + int.from_bytes(data[8:12], order)  # type: ignore[arg-type]


def _decode_png(message: Any) -> NDArray[Any]:
    data = np.frombuffer(message.data, np.uint8)
    if data[:4].tobytes() != _PNG:
        raise InputError(
            f"labels come compressed as {message.format[:_SHOWN]!r}, which changes ids; record "
            "the raw topic, or png"
        )
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError(f"{data.size} bytes of png cannot be read; they are damaged")
    return np.asarray(pixels)
