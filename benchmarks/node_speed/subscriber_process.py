# SPDX-License-Identifier: Apache-2.0
"""The one who listens, in a process of its own; it also brings a lifecycle node to life.

Each message's arrival is the moment its callback is entered, after rclpy has turned it into a
Python object: what any Python subscriber sees.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, PointCloud2

from benchmarks.node_speed.child_processes import end_with_parent

GRID = (12, 16)  # rows and columns of a sample
_DTYPES = {"mono8": np.uint8, "rgb8": np.uint8, "32FC1": np.float32, "32FC3": np.float32}
_PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Arrival:
    """A message that came in.

    Attributes:
        camera: Number of the camera whose topic it came on.
        output: Name of the topic below the camera's.
        stamp: Its header's stamp, in nanoseconds.
        frame_id: Its header's frame.
        time: When it came, in nanoseconds of the system's clock.
        sample: Its pixels on a grid of `GRID`; None for a point cloud.
    """

    camera: int
    output: str
    stamp: int
    frame_id: str
    time: int
    sample: NDArray[Any] | None


def grid_sample(array: NDArray[Any]) -> NDArray[Any]:
    """An array [H,W] or [H,W,C] at the middles of a grid of `GRID` cells."""
    height, width = array.shape[:2]
    rows = ((np.arange(GRID[0]) + 0.5) / GRID[0] * height).astype(int)
    columns = ((np.arange(GRID[1]) + 0.5) / GRID[1] * width).astype(int)
    return array[rows[:, np.newaxis], columns]


class Listener:
    """Subscribes to outputs and keeps what comes."""

    def __init__(self) -> None:
        """Subscribe to nothing yet; rclpy has been initialized."""
        self._node = rclpy.create_node("listener")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self._node)
        self._subscriptions: list[Any] = []
        self._arrivals: list[Arrival] = []

    def activate(self, node_name: str) -> bool:
        """Configure and activate a lifecycle node."""
        client: Any = self._node.create_client(ChangeState, f"/{node_name}/change_state")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            if not self._spin_until(client.service_is_ready):
                return False
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            if not (self._spin_until(future.done) and future.result().success):
                return False
        self._node.destroy_client(client)
        return True

    def listen(self, node_name: str, cameras: int, outputs: tuple[str, ...]) -> bool:
        """Subscribe to these outputs of the first cameras, and to nothing else."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = [
            self._node.create_subscription(
                PointCloud2 if output == "points" else Image,
                f"/{node_name}/camera{camera}/{output}",
                partial(self._take, camera, output),
                10,
            )
            for camera in range(cameras)
            for output in outputs
        ]
        return self._spin_until(
            lambda: all(s.get_publisher_count() == 1 for s in self._subscriptions)
        )

    def collect(self) -> list[Arrival]:
        """What came since the last time."""
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def _take(self, camera: int, output: str, message: Any) -> None:
        now = time.time_ns()
        header = message.header
        sample = None
        if isinstance(message, Image):
            dtype = _DTYPES[message.encoding]
            pixels = np.frombuffer(message.data, dtype)
            sample = grid_sample(pixels.reshape(message.height, message.width, -1))
        stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        self._arrivals.append(Arrival(camera, output, stamp, header.frame_id, now, sample))

    def _spin_until(self, done: Any) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while not done():
            if time.monotonic() > deadline:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True


def run_subscriber(orders: Connection, environment: Mapping[str, str]) -> None:
    """Carry out orders (a method of `Listener` and its arguments) until None comes."""
    end_with_parent()
    os.environ.update(environment)
    rclpy.init(args=[])
    listener = Listener()
    orders.send("ready")
    while True:
        listener.executor.spin_once(timeout_sec=0.01)
        if orders.poll():
            order = orders.recv()
            if order is None:
                break
            method, *arguments = order
            orders.send(getattr(listener, method)(*arguments))
    rclpy.shutdown()
