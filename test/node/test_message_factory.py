# SPDX-License-Identifier: Apache-2.0
"""Arrays become messages byte for byte, in memory that is used again."""

from __future__ import annotations

import array
import sys

import numpy as np
import pytest

pytest.importorskip("sensor_msgs")
from std_msgs.msg import Header

from mtinet_ros.messages.image_message import decode_image
from mtinet_ros.node.message_factory import RosMessages, encode_image

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("mono8", np.uint8, 0),
        ("rgb8", np.uint8, 3),
        ("16UC1", np.uint16, 0),
        ("32FC1", np.float32, 0),
        ("32FC3", np.float32, 3),
    ],
)
@pytest.mark.parametrize("cropped", [False, True])
def test_arrays_become_messages_byte_for_byte(
    encoding: str, dtype: type[np.generic], channels: int, cropped: bool
) -> None:
    shape = (20, 30, channels) if channels else (20, 30)
    pixels = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    if cropped:
        pixels = pixels[3:17, 5:12]
    header = Header(frame_id="camera_optical_frame")
    message = encode_image(pixels, encoding, header)
    height, width = pixels.shape[:2]
    assert (message.height, message.width, message.encoding) == (height, width, encoding)
    assert message.step == width * max(channels, 1) * np.dtype(dtype).itemsize
    assert message.is_bigendian == (sys.byteorder == "big")
    assert bytes(message.data) == np.ascontiguousarray(pixels).tobytes()
    assert isinstance(message.data, array.array)  # the one form rclpy takes without a loop
    assert message.header is header


def test_nan_survives_the_way_out() -> None:
    depth = np.array([[np.nan, 1.5]], np.float32)
    data = np.frombuffer(encode_image(depth, "32FC1", Header()).data, np.float32)
    assert np.array_equal(data, depth[0], equal_nan=True)


@pytest.mark.parametrize("encoding", ["rgb8", "mono8"])
def test_there_and_back(encoding: str) -> None:
    photo = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
    pixels = photo if encoding == "rgb8" else photo[..., 0]
    back = decode_image(encode_image(pixels, encoding, Header()))
    assert np.array_equal(back, pixels if encoding == "rgb8" else np.dstack([pixels] * 3))


def test_memory_is_used_again_and_nothing_mixed_up() -> None:
    rng = np.random.default_rng(0)
    messages = RosMessages()
    memory = set()
    for _ in range(3):
        for shape, dtype, encoding in (
            ((4, 6), np.uint8, "mono8"),
            ((4, 6), np.float32, "32FC1"),
            ((4, 6, 4), np.uint8, "rgba8"),  # as many bytes as the one before
        ):
            pixels = (rng.random(shape) * 200).astype(dtype)
            message = messages.image(pixels[:, 1:5], encoding, Header(frame_id=encoding))
            assert message == encode_image(pixels[:, 1:5], encoding, Header(frame_id=encoding))
            memory.add(message.data.buffer_info()[0])
    assert len(memory) == 2


def test_memory_is_forgotten_of_sizes_that_are_gone() -> None:
    messages = RosMessages()
    for width in range(1, 100):
        messages.image(np.zeros((1, width), np.uint8), "mono8", Header())
    assert len(messages._images) <= 8
