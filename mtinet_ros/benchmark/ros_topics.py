# SPDX-License-Identifier: Apache-2.0
"""The ROS ends of a frame's way, for timing: real messages, real publishers, no network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import OUTPUTS, TensorSpec


class RosTopics:
    """Real messages and publishers, without listeners, on no network."""

    def __init__(self, publish: dict[str, Callable[[Any], None]]) -> None:
        """Use these publishers, by output."""
        from mtinet_ros.messages.image_message import decode_image

        self.decode = decode_image
        self._publish = publish

    def camera_message(self, frame: NDArray[np.uint8]) -> Any:
        """A bgr8 Image, what most camera drivers send."""
        return self._message(frame, "bgr8")

    def publish(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Make a message of each output and publish it."""
        for name, array in arrays.items():
            self._publish[name](self._message(array, _encoding(OUTPUTS[name])))

    def _message(self, array: NDArray[Any], encoding: str) -> Any:
        from std_msgs.msg import Header

        from mtinet_ros.node.message_factory import encode_image

        return encode_image(array, encoding, Header())


def _encoding(output: TensorSpec) -> str:
    """Encoding of the `sensor_msgs/Image` that an output is published as."""
    return "mono8" if output.dtype == np.uint8 else f"32FC{math.prod(output.channels)}"


@contextmanager
def open_ros_topics(outputs: tuple[str, ...]) -> Iterator[RosTopics | None]:
    """Publishers in a ROS context of their own; None where there is no ROS."""
    # Nothing of this shall be seen by, or wait for, anybody else.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "OFF"
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from sensor_msgs.msg import Image
    except ImportError:
        yield None
        return
    context = rclpy.Context()
    # Without rclpy's own handlers: Ctrl-C would shut the context down beneath a publisher, and the
    # shutdown below would fail.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("mtinet_benchmark", context=context)
        yield RosTopics(
            {name: node.create_publisher(Image, f"~/{name}", 1).publish for name in outputs}
        )
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
