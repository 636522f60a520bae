# SPDX-License-Identifier: Apache-2.0
"""`output_size: camera`: back at the camera's size, nothing may be there that was not seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.resample import resize_prediction

H, W = 48, 64
SIZES = [(96, 128), (480, 640), (133, 201), (49, 64), (24, 32), (31, 17), (1, 1), (270, 480)]
FRONT, SIDE = (0.0, 0.0, -1.0), (-0.8, 0.0, -0.6)


def picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.zeros((*size, 3), np.uint8)


def two_surfaces() -> Prediction:
    """A near box (1 m, facing us) before a far wall (5 m, turned), with a hole in each."""
    labels = np.full((H, W), 7, np.uint8)
    depth = np.full((H, W), 5.0, np.float32)
    normals = np.tile(np.array(SIDE, np.float32), (H, W, 1))
    labels[10:30, 20:45] = 3
    depth[10:30, 20:45] = 1.0
    normals[10:30, 20:45] = FRONT
    depth[15:18, 25:28] = np.nan
    depth[40, 5] = np.nan
    normals[40, 5] = np.nan
    confidence = np.where(labels == 3, 250, 10).astype(np.uint8)
    camera = CameraModel.pinhole(W, H, 60.0, 60.0, 31.0, 24.0)
    return Prediction(picture((H, W)), labels, depth, normals, confidence, camera, True)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_hangs_in_the_air_between_two_surfaces(size: tuple[int, int]) -> None:
    result = resize_prediction(two_surfaces(), picture(size))
    assert result.size == size
    assert result.depth is not None
    assert result.normals is not None
    valid = result.depth[np.isfinite(result.depth)]
    near = np.minimum(np.abs(valid - 1.0), np.abs(valid - 5.0))
    assert near.max(initial=0.0) < 1e-5
    normals = result.normals[np.isfinite(result.normals).all(axis=-1)]
    distance = [np.abs(normals - np.array(n)).max(axis=-1) for n in (FRONT, SIDE)]
    assert np.minimum(*distance).max(initial=0.0) < 1e-5
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(1.0, abs=1e-5)
    assert result.depth.dtype == result.normals.dtype == np.float32


@pytest.mark.parametrize("size", SIZES)
def test_no_class_appears_that_was_not_predicted(size: tuple[int, int]) -> None:
    result = resize_prediction(two_surfaces(), picture(size))
    assert result.labels is not None
    assert result.confidence is not None
    assert set(np.unique(result.labels)) <= {3, 7}
    assert set(np.unique(result.confidence)) <= {10, 250}
    assert ((result.labels == 3) == (result.confidence == 250)).all()


@pytest.mark.parametrize("size", [(96, 128), (480, 640), (144, 320)])
def test_labels_depth_and_holes_stay_aligned(size: tuple[int, int]) -> None:
    before = two_surfaces()
    result = resize_prediction(before, picture(size))
    factor = size[0] * size[1] // (H * W)
    assert result.depth is not None
    assert before.depth is not None
    assert result.labels is not None
    assert result.normals is not None
    hole = np.isnan(result.depth)
    assert hole.sum() == factor * np.isnan(before.depth).sum()
    assert ((np.abs(result.depth - 1.0) < 0.1) == ((result.labels == 3) & ~hole)).all()
    assert np.isnan(result.normals).any(axis=-1).sum() == factor


def test_normals_do_not_depend_on_who_listens_to_depth() -> None:
    whole = two_surfaces()
    alone = Prediction(whole.image, normals=whole.normals)
    size = picture((131, 190))
    a, b = resize_prediction(whole, size).normals, resize_prediction(alone, size).normals
    assert a is not None
    assert b is not None
    assert np.array_equal(a, b, equal_nan=True)


def test_a_smooth_surface_is_interpolated_and_not_a_staircase() -> None:
    depth = np.tile(np.linspace(2.0, 3.0, W, dtype=np.float32), (H, 1))
    angle = np.tile(np.linspace(-0.5, 0.5, W), (H, 1))
    normals = np.dstack([np.sin(angle), 0 * angle, -np.cos(angle)]).astype(np.float32)
    result = resize_prediction(
        Prediction(picture((H, W)), depth=depth, normals=normals), picture((4 * H, 4 * W))
    )
    assert result.depth is not None
    assert result.normals is not None
    inside = result.depth[8:-8, 8:-8]
    assert np.diff(inside, axis=1).min() > 0.9 / W / 4
    assert (np.diff(result.normals[8:-8, 8:-8, 0], axis=1) > 0).all()
    assert np.linalg.norm(result.normals, axis=-1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("size", [(480, 640), (133, 201)])
def test_the_camera_model_follows(size: tuple[int, int]) -> None:
    camera = resize_prediction(two_surfaces(), picture(size)).camera
    assert camera is not None
    assert (camera.height, camera.width) == size
    sx, sy = size[1] / W, size[0] / H
    assert camera.K[0, 0] == pytest.approx(60 * sx)
    assert camera.K[0, 2] == pytest.approx(31.5 * sx - 0.5)
    assert camera.K[1, 2] == pytest.approx(24.5 * sy - 0.5)


def test_at_its_own_size_nothing_is_computed() -> None:
    before = two_surfaces()
    image = np.full((H, W, 3), 5, np.uint8)
    after = resize_prediction(before, image)
    assert after.image is image
    assert after.depth is before.depth
    assert after.normals is before.normals
    assert after.labels is before.labels
    assert after.camera is before.camera


def test_what_was_not_asked_for_stays_away() -> None:
    result = resize_prediction(Prediction(picture((H, W))), picture((100, 100)))
    assert (result.labels, result.depth, result.normals, result.camera) == (None,) * 4


def test_where_the_picture_shows_nothing_nothing_is_claimed() -> None:
    before = two_surfaces()
    seen = np.ones((4 * H, 4 * W), bool)
    seen[:, : 2 * W] = False
    after = before.masked(seen)
    assert after.labels is not None
    assert after.depth is not None
    assert after.normals is not None
    assert after.confidence is not None
    assert (after.labels[:, : W // 2] == 255).all()
    assert np.isnan(after.depth[:, : W // 2]).all()
    assert np.isnan(after.normals[:, : W // 2]).all()
    assert (after.confidence[:, : W // 2] == 0).all()
    assert np.array_equal(after.labels[:, W // 2 :], before.labels[:, W // 2 :])  # type: ignore[index]
    assert np.array_equal(
        after.depth[:, W // 2 :],
        before.depth[:, W // 2 :],
        equal_nan=True,  # type: ignore[index]
    )
    assert not np.isnan(before.depth[0, 0])  # type: ignore[index]  # the original is untouched
