# SPDX-License-Identifier: Apache-2.0
"""Messages of the node's topics, of rclpy's classes or of a bag's, into a scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.messages.header import stamp_of
from mtinet_ros.messages.image_message import decode_image, samples

if TYPE_CHECKING:
    from mtinet_ros.viewer.scene import Scene


def show(scene: Scene, camera: str, topic: str, message: Any) -> None:
    """Show one message.

    Args:
        scene: Where.
        camera: Name of its camera.
        topic: One of `SHOWN`, below ~/<camera>/.
        message: Of the type that belongs to the topic.

    Raises:
        InputError: The message is not what the topic promises.
    """
    if topic != LEGEND:
        scene.set_time(stamp_of(message.header))
    try:
        SHOWN[topic](scene, camera, message)
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{camera}/{topic}: the message cannot be shown: {error}") from error


def _legend(scene: Scene, camera: str, message: Any) -> None:
    scene.legend(camera, json.loads(message.data)["classes"])


def _image(scene: Scene, camera: str, message: Any) -> None:
    scene.image(camera, decode_image(message))


def _labels(scene: Scene, camera: str, message: Any) -> None:
    scene.labels(camera, _pixels(message, {"mono8": np.dtype(np.uint8)}))


def _depth(scene: Scene, camera: str, message: Any) -> None:
    encodings: dict[str, np.dtype[Any]] = {
        "32FC1": np.dtype(np.float32),
        "16UC1": np.dtype(np.uint16),
    }
    depth = _pixels(message, encodings)
    if depth.dtype == np.uint16:
        depth = np.where(depth == 0, np.nan, depth / 1000.0)
    scene.depth(camera, depth.astype(np.float32))


def _normals(scene: Scene, camera: str, message: Any) -> None:
    scene.normals(camera, decode_image(message))


def _lens(scene: Scene, camera: str, message: Any) -> None:
    scene.lens(camera, message.k, (message.height, message.width))


def _points(scene: Scene, camera: str, message: Any) -> None:
    fields = {field.name: field.offset for field in message.fields}
    order = ">" if message.is_bigendian else "<"
    dtype = np.dtype(
        {
            "names": ["x", "y", "z", "rgb"],
            "formats": [f"{order}f4", f"{order}f4", f"{order}f4", f"{order}u4"],
            "offsets": [fields[name] for name in ("x", "y", "z", "rgb")],
            "itemsize": message.point_step,
        }
    )
    points = np.frombuffer(message.data, dtype)
    points = points[np.isfinite(points["z"])]
    positions = np.stack([points["x"], points["y"], points["z"]], axis=-1)
    packed = points["rgb"]
    colors = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
    scene.points(camera, positions.astype(np.float32), colors.astype(np.uint8))


def _pixels(message: Any, encodings: Mapping[str, np.dtype[Any]]) -> NDArray[Any]:
    """The pixels [H,W] of an Image with one channel in one of these encodings, as dtypes say."""
    if message.encoding not in encodings:
        raise ValueError(
            f"its encoding is {message.encoding[:20]!r}, not {' or '.join(encodings)}"
        )
    dtype = encodings[message.encoding]
    pixels: NDArray[Any] = samples(message, dtype)[..., 0].astype(dtype)
    return pixels


LEGEND = "segmentation/label_info_json"
PICTURE = "rgb/image"
OVERLAY = "segmentation/overlay"
"""Shown as the picture where there is no other."""

# What is subscribed to, and what shows it.
SHOWN: dict[str, Callable[[Scene, str, Any], None]] = {
    LEGEND: _legend,
    PICTURE: _image,
    OVERLAY: _image,
    "segmentation/image": _labels,
    "depth/image": _depth,
    "depth/camera_info": _lens,
    "normals/color": _normals,
    "points": _points,
}
