# SPDX-License-Identifier: Apache-2.0
"""Augmented frames must still be true: a plane stays the plane it is, seen by another camera."""

from __future__ import annotations

import numpy as np
import pytest

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.training.config import AugmentationConfig, DataConfig
from mtinet_ros.training.loader import TrainingSamples
from mtinet_ros.training.mixture import TrainingSource
from mtinet_ros.training.photometric import photometric
from mtinet_ros.training.view import View, random_view, resize_sample, warp_to_view

ROWS, COLUMNS = 48, 64
INTRINSICS = Intrinsics(60.0, 30.0, 25.5)


def plane_depth(
    normal: np.ndarray, distance: float, intrinsics: Intrinsics, rows: int, columns: int
):
    """z-depth of the plane n·X = -distance."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    rays = np.stack(
        [(x - intrinsics.cx), (y - intrinsics.cy), np.full_like(x, intrinsics.focal_length)], -1
    )
    return -distance / (rays / intrinsics.focal_length @ normal)


def plane_sample(normal: np.ndarray, distance: float) -> Sample:
    depth = plane_depth(normal, distance, INTRINSICS, ROWS, COLUMNS).astype(np.float32)
    normals = np.broadcast_to(normal.astype(np.float32), (ROWS, COLUMNS, 3)).copy()
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    labels[:, COLUMNS // 2 :] = 1
    image = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    image[:, COLUMNS // 2 :] = 200
    return Sample(image, {"depth": depth, "normals": normals, "semseg": labels}, INTRINSICS)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_depth_normals_and_lens_describe_the_same_plane_after_any_view(seed, mirrored):
    random = np.random.default_rng(seed)
    normal = np.array([0.3, -0.2, -1.0])
    normal /= np.linalg.norm(normal)
    drawn = random_view(AugmentationConfig(), random)
    view = View(drawn.zoom, drawn.rotation, mirrored)
    new = warp_to_view(plane_sample(normal, 2.0), view, ROWS, COLUMNS)
    expected_normal = view.rotation @ normal * ([-1, 1, 1] if mirrored else 1)
    depth, normals = new.targets["depth"], new.targets["normals"]
    known = depth > 0
    assert known.mean() > 0.9
    np.testing.assert_allclose(
        normals[known], np.tile(expected_normal, (known.sum(), 1)), atol=1e-5
    )
    # Nearest-neighbour sampling moves a value by at most half a pixel.
    expected = plane_depth(expected_normal, 2.0, new.intrinsics, ROWS, COLUMNS)
    np.testing.assert_allclose(depth[known], expected[known], rtol=0.012)


def test_zoom_lengthens_the_lens_and_leaves_meters_alone():
    new = warp_to_view(
        plane_sample(np.array([0, 0, -1.0]), 2.0), View(1.5, np.eye(3), False), 24, 32
    )
    assert new.intrinsics == Intrinsics(45.0, 15.5, 11.5)
    np.testing.assert_allclose(new.targets["depth"], 2.0, rtol=1e-6)


def test_what_the_old_view_did_not_show_has_no_ground_truth():
    rotation = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    new = warp_to_view(
        plane_sample(np.array([0, 0, -1.0]), 2.0), View(1.0, rotation, False), 48, 64, (9, 9, 9)
    )
    corner = (24, 0)
    assert new.image[corner].tolist() == [9, 9, 9]
    assert new.targets["semseg"][corner] == VOID_ID
    assert new.targets["depth"][corner] == 0
    assert not new.targets["normals"][corner].any()


def test_labels_and_image_move_together():
    random = np.random.default_rng(3)
    view = random_view(AugmentationConfig(), random)
    new = warp_to_view(plane_sample(np.array([0, 0, -1.0]), 2.0), view, ROWS, COLUMNS)
    known = new.targets["semseg"] != VOID_ID
    agree = (new.image[..., 0] > 100) == (new.targets["semseg"] == 1)
    assert agree[known].mean() > 0.97


def test_resizing_for_evaluation_scales_the_lens_between_pixel_edges():
    half = resize_sample(plane_sample(np.array([0, 0, -1.0]), 2.0), 24, 32)
    assert half.intrinsics == Intrinsics(30.0, 14.75, 12.5)
    assert half.image.shape == (24, 32, 3)


def test_photometric_changes_keep_size_and_follow_the_seed():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    for seed in range(40):
        one = photometric(image, np.random.default_rng(seed))
        assert one.shape == image.shape
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, photometric(image, np.random.default_rng(seed)))
    assert photometric(image, np.random.default_rng(0), 0.0) is image


class Frames(list[Sample]):
    """A data set of given frames."""

    class_names = ()


@pytest.mark.parametrize(("rows", "columns"), [(48, 64), (64, 48), (96, 96)])
def test_depth_of_an_unknown_lens_stays_whatever_the_shape(rows, columns):
    sample = Sample(
        np.zeros((48, 64, 3), np.uint8), {"depth": np.full((48, 64), 2, np.float32)}, None
    )
    still = AugmentationConfig(flip=0, zoom=(1, 1), roll=0, tilt=0, photometric=0)
    frames = Frames([sample])
    source = TrainingSource("", "", frames, frames, 1.0, ("depth",), still)  # type: ignore[arg-type]
    samples = TrainingSamples([source], ("depth",), DataConfig(height=rows, width=columns), seed=0)
    depth = samples[0, 0, 0]["depth"]
    assert depth.shape == (1, rows, columns)
    np.testing.assert_allclose(depth, 2.0, rtol=1e-5)


def test_a_picture_that_gets_smaller_is_averaged_as_on_a_robot():
    """Stripes of one pixel become gray, not stripes or whatever two pixels happen to say."""
    stripes = np.zeros((96, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    intrinsics = Intrinsics.centered(100.0, 96, 128)
    still = View(1.0, np.eye(3), mirrored=False)
    small = warp_to_view(Sample(stripes, {}, intrinsics), still, 48, 64)
    assert np.abs(small.image.astype(int) - 127.5).max() <= 1
    # A picture that keeps its size stays as it is, and one half as large is cv2's own.
    same = warp_to_view(Sample(stripes, {}, intrinsics), still, 96, 128)
    np.testing.assert_array_equal(same.image, stripes)
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    small = warp_to_view(Sample(noise, {}, intrinsics), still, 48, 64)
    by_hand = noise.reshape(48, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(small.image - by_hand).max() <= 1
