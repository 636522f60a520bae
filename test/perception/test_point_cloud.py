# SPDX-License-Identifier: Apache-2.0
"""The cloud that rviz, PCL and depth_image_proc's users expect."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.point_cloud import (
    POINT_DTYPE,
    point_cloud,
    points_of,
    points_with_classes,
)
from mtinet_ros.perception.prediction import Prediction

H, W = 30, 41


def scene(height: int = H, width: int = W) -> Prediction:
    random = np.random.default_rng(3)
    depth = random.uniform(0.5, 8.0, (height, width)).astype(np.float32)
    depth[random.random((height, width)) < 0.2] = np.nan
    normals = random.normal(size=(height, width, 3)).astype(np.float32)
    return Prediction(
        image=random.integers(0, 256, (height, width, 3), np.uint8),
        labels=random.integers(0, 40, (height, width)).astype(np.uint8),
        depth=depth,
        normals=normals,
        camera=CameraModel.pinhole(width, height, 37.0, 39.0, 19.3, 14.1),
        depth_is_metric=True,
    )


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 64])
def test_every_point_is_where_depth_image_proc_puts_it(stride: int) -> None:
    prediction = scene()
    assert prediction.depth is not None
    assert prediction.labels is not None
    assert prediction.normals is not None
    points = point_cloud(prediction, stride)
    assert points.shape == (-(-H // stride), -(-W // stride))
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            v, u = row * stride, column * stride
            z = float(prediction.depth[v, u])
            point = points[row, column]
            expected = [z * (u - 19.3) / 37.0, z * (v - 14.1) / 39.0, z]
            found = [float(point[axis]) for axis in "xyz"]
            assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)
            assert point["label"] == prediction.labels[v, u]
            assert point["normal_y"] == prediction.normals[v, u, 1]


def test_colors_are_what_rviz_and_pcl_unpack() -> None:
    prediction = scene()
    packed = point_cloud(prediction)["rgb"].copy().view(np.uint32)
    unpacked = np.dstack([packed >> 16 & 255, packed >> 8 & 255, packed & 255])
    assert (unpacked == prediction.image).all()
    assert (packed >> 24 == 0).all()


def test_holes_are_nan_in_all_three_coordinates() -> None:
    prediction = scene()
    points = point_cloud(prediction)
    hole = np.isnan(prediction.depth)  # type: ignore[arg-type]
    for axis in "xyz":
        assert (np.isnan(points[axis]) == hole).all()


def test_without_labels_or_normals_the_fields_stay() -> None:
    whole = scene()
    points = point_cloud(Prediction(whole.image, depth=whole.depth, camera=whole.camera))
    assert points.dtype == POINT_DTYPE
    assert (points["label"] == 255).all()
    assert np.isnan(points["normal_x"]).all()


def test_a_cloud_without_a_lens_is_refused() -> None:
    whole = scene()
    with pytest.raises(ValueError, match="camera model"):
        point_cloud(Prediction(whole.image, depth=whole.depth))


def test_a_full_cloud_takes_no_loop_over_pixels() -> None:
    prediction = scene(480, 640)
    point_cloud(prediction)
    start = time.perf_counter()
    point_cloud(prediction)
    assert time.perf_counter() - start < 0.25  # a loop over 307 200 pixels takes seconds


def test_a_cloud_of_some_classes_has_their_valid_points_and_no_others() -> None:
    prediction = scene()
    points = point_cloud(prediction)
    is_floor = np.zeros(256, np.bool_)
    is_floor[[3, 7]] = True
    floor, rest = points_of(points, is_floor), points_of(points, ~is_floor)
    assert set(np.unique(floor["label"])) == {3, 7}
    assert not {3, 7} & set(np.unique(rest["label"]))
    assert np.isfinite(floor["x"]).all()
    assert np.isfinite(rest["z"]).all()
    assert len(floor) + len(rest) == np.isfinite(prediction.depth).sum()
    first = next(p for p in points.ravel() if p["label"] in (3, 7) and np.isfinite(p["z"]))
    assert floor[0].tobytes() == first.tobytes()


def test_a_map_that_averages_the_fields_of_a_cloud_gets_the_share_of_each_class() -> None:
    """Two rows of two: one hole, one sofa, two floors of which the network is less sure."""
    small = Prediction(
        np.zeros((2, 2, 3), np.uint8),
        labels=np.array([[0, 1], [1, 2]], np.uint8),
        depth=np.array([[np.nan, 2.0], [4.0, 1.0]], np.float32),
        camera=CameraModel.pinhole(2, 2, 1.0, 1.0, 0.0, 0.0),
    )
    names = ("wall", "floor", "night stand")
    cloud = points_with_classes(point_cloud(small), names, ["night stand", "floor"])
    assert cloud.dtype.names == ("x", "y", "z", "night_stand", "floor")
    assert all(field[0] == np.float32 for field in (cloud.dtype.fields or {}).values())
    assert [tuple(point) for point in cloud.tolist()] == [
        (2.0, 0.0, 2.0, 0.0, 1.0),
        (0.0, 4.0, 4.0, 0.0, 1.0),
        (1.0, 1.0, 1.0, 1.0, 0.0),
    ]
    unsure = replace(small, confidence=np.array([[9, 51], [102, 255]], np.uint8))
    certain = point_cloud(unsure, with_confidence=True)
    assert points_with_classes(certain, names, ["floor"])["floor"].tolist() == pytest.approx(
        [0.2, 0.4, 0.0]
    )
    assert points_with_classes(certain, names, []).dtype.names == ("x", "y", "z")
