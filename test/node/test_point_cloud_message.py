# SPDX-License-Identifier: Apache-2.0
"""The PointCloud2 that rviz, PCL and sensor_msgs_py read."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy")
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from mtinet_ros.node.message_factory import point_cloud_message
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.point_cloud import point_cloud
from mtinet_ros.perception.prediction import Prediction

pytestmark = pytest.mark.ros


def points() -> NDArray[np.void]:
    random = np.random.default_rng(1)
    depth = random.uniform(1, 5, (6, 9)).astype(np.float32)
    depth[2, 3] = np.nan
    return point_cloud(
        Prediction(
            image=random.integers(0, 256, (6, 9, 3), np.uint8),
            labels=random.integers(0, 40, (6, 9)).astype(np.uint8),
            depth=depth,
            normals=random.normal(size=(6, 9, 3)).astype(np.float32),
            camera=CameraModel.pinhole(9, 6, 8.0, 8.0, 4.0, 2.5),
        )
    )


def read_by_fields(message: PointCloud2) -> NDArray[Any]:
    """As a stranger would who knows only the message's own description of itself."""
    types = {PointField.FLOAT32: "f4", PointField.UINT32: "u4"}
    order = ">" if message.is_bigendian else "<"
    dtype = np.dtype(
        {
            "names": [f.name for f in message.fields],
            "formats": [order + types[f.datatype] for f in message.fields],
            "offsets": [f.offset for f in message.fields],
            "itemsize": message.point_step,
        }
    )
    assert len(message.data) == message.row_step * message.height
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def test_it_is_organized_and_says_that_it_has_holes() -> None:
    header = Header(frame_id="camera_optical_frame")
    message = point_cloud_message(points(), header)
    assert message.header is header
    assert (message.height, message.width) == (6, 9)
    assert (message.point_step, message.row_step) == (32, 32 * 9)
    assert message.is_dense is False
    assert message.is_bigendian == (sys.byteorder == "big")
    described = [(f.name, f.offset, f.datatype, f.count) for f in message.fields]
    float32, uint32 = PointField.FLOAT32, PointField.UINT32
    assert described == [
        ("x", 0, float32, 1),
        ("y", 4, float32, 1),
        ("z", 8, float32, 1),
        ("rgb", 12, float32, 1),
        ("label", 16, uint32, 1),
        ("normal_x", 20, float32, 1),
        ("normal_y", 24, float32, 1),
        ("normal_z", 28, float32, 1),
    ]


def test_it_reads_back_bit_by_bit() -> None:
    cloud = points()
    back = read_by_fields(point_cloud_message(cloud, Header()))
    assert back.dtype.names == cloud.dtype.names
    for name in cloud.dtype.names or ():
        assert back[name].tobytes() == np.ascontiguousarray(cloud[name]).tobytes(), name


def test_it_reads_back_with_sensor_msgs_py() -> None:
    reader = pytest.importorskip("sensor_msgs_py.point_cloud2")
    cloud = points()
    back = reader.read_points(point_cloud_message(cloud, Header()), skip_nans=False)
    for name in cloud.dtype.names or ():
        assert np.array_equal(back[name].ravel(), cloud[name].ravel(), equal_nan=True), name


def test_a_part_of_a_cloud_is_sent_without_its_surroundings() -> None:
    part = points()[1:4, 2:7]
    back = read_by_fields(point_cloud_message(part, Header()))
    assert np.array_equal(back["z"], part["z"], equal_nan=True)
