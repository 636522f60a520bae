# SPDX-License-Identifier: Apache-2.0
"""A camera driver in a process of its own, told through a pipe what to show."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from benchmarks.node_speed.child_processes import end_with_parent
from benchmarks.node_speed.pictures import PICTURES, camera_of, views, write_mark
from mtinet_ros.node.message_factory import camera_info_message, encode_image


@dataclass(frozen=True)
class Order:
    """What a camera shall do.

    Attributes:
        size: (height, width) of its images.
        rate: Frames per second.
        frames: How many.
        start: When the first is due, a time of the monotonic clock.
    """

    size: tuple[int, int]
    rate: float
    frames: int
    start: float


@dataclass(frozen=True)
class Sent:
    """A frame that a camera published: its counter, and its stamp in nanoseconds."""

    counter: int
    stamp: int


class Camera:
    """Publishes marked pictures and their CameraInfo, as drivers do."""

    def __init__(self, number: int, network_size: tuple[int, int], focal: float) -> None:
        """Advertise; rclpy has been initialized."""
        self._number = number
        self._network = (network_size, focal)
        self._node = rclpy.create_node(f"camera{number}_driver")
        self._images = self._node.create_publisher(Image, f"camera{number}/image_raw", 10)
        self._infos = self._node.create_publisher(CameraInfo, f"camera{number}/camera_info", 10)
        self._counter = 0
        self._made: dict[tuple[int, int], tuple[list[Image], CameraInfo]] = {}

    def carry_out(self, order: Order) -> list[Sent]:
        """Show frames when each is due; one that is late is shown at once."""
        messages, info = self._messages(order.size)
        sent = []
        for index in range(order.frames):
            pause = order.start + index / order.rate - time.monotonic()
            if pause > 0.0:
                time.sleep(pause)
            message = messages[self._counter % PICTURES]
            write_mark(_pixels(message), self._number, self._counter)
            stamp = time.time_ns()
            header = Header(frame_id=f"camera{self._number}_optical_frame")
            header.stamp.sec, header.stamp.nanosec = divmod(stamp, 1_000_000_000)
            message.header = info.header = header
            self._infos.publish(info)
            self._images.publish(message)
            sent.append(Sent(self._counter, stamp))
            self._counter += 1
        return sent

    def _messages(self, size: tuple[int, int]) -> tuple[list[Image], CameraInfo]:
        if size not in self._made:
            camera = camera_of(size, *self._network)
            images = views(self._number, camera)
            self._made[size] = (
                [encode_image(image, "bgr8", Header()) for image in images],
                camera_info_message(camera, Header()),
            )
        return self._made[size]


def _pixels(message: Image) -> NDArray[np.uint8]:
    """A message's pixels, to be written to."""
    shape = (message.height, message.width, 3)
    return np.frombuffer(memoryview(message.data), np.uint8).reshape(shape)


def run_camera(
    number: int,
    orders: Connection,
    environment: Mapping[str, str],
    network_size: tuple[int, int],
    focal: float,
) -> None:
    """Carry out orders until the pipe says None; the body of the process."""
    end_with_parent()
    os.environ.update(environment)
    cv2.setNumThreads(1)
    rclpy.init(args=[])
    camera = Camera(number, network_size, focal)
    orders.send("ready")
    while (order := orders.recv()) is not None:
        answer: Any = camera.carry_out(order)
        orders.send(answer)
    rclpy.shutdown()
