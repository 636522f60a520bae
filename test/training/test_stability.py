# SPDX-License-Identifier: Apache-2.0
"""Flicker and jitter: zero for a perfect model on a moving camera, else they count changes."""

from __future__ import annotations

import numpy as np
import pytest

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.training.evaluation import DensePrediction, evaluate
from mtinet_ros.training.stability import Stability, find_correspondence

INTRINSICS = Intrinsics(40.0, 31.5, 23.5)


def wall_seen_from(x: float, z: float) -> Sample:
    """A wall at world z = 3, left half class 0, right half class 1; camera at (x, 0, z)."""
    columns = np.arange(64)
    world_x = x + (columns - INTRINSICS.cx) / INTRINSICS.focal_length * (3 - z)
    labels = np.tile((world_x > 0).astype(np.uint8), (48, 1))
    depth = np.full((48, 64), 3 - z, np.float32)
    normals = np.zeros((48, 64, 3), np.float32)
    normals[..., 2] = -1
    world_from_camera = np.eye(4)
    world_from_camera[:3, 3] = x, 0, z
    targets = {"semseg": labels, "depth": depth, "normals": normals}
    return Sample(np.zeros((48, 64, 3), np.uint8), targets, INTRINSICS, world_from_camera)


class Path:
    """A camera that comes closer and moves aside."""

    def __init__(self) -> None:
        self.samples = [wall_seen_from(0.0, 0.0), wall_seen_from(0.1, 0.3)]

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def videos(self) -> list[list[int]]:
        return [[0, 1]]


def test_truth_itself_neither_flickers_nor_jitters():
    a, b = Path().samples
    match, stability = find_correspondence(a, b), Stability()
    assert len(match.b_rows) > 0.9 * 48 * 64
    stability.update_labels(match, a.targets["semseg"], b.targets["semseg"])
    stability.update_depth(match, a.targets["depth"], b.targets["depth"])
    assert stability.compute() == pytest.approx({"flicker": 0, "depth_jitter": 0}, abs=1e-6)


def test_changed_classes_and_scaled_depth_are_counted():
    a, b = Path().samples
    match, stability = find_correspondence(a, b), Stability()
    changed = b.targets["semseg"].copy()
    changed[:24] = 7
    stability.update_labels(match, a.targets["semseg"], changed)
    stability.update_depth(match, a.targets["depth"], b.targets["depth"] * np.float32(1.1))
    values = stability.compute()
    assert values["flicker"] == pytest.approx(np.mean(match.b_rows < 24))
    assert values["depth_jitter"] == pytest.approx(np.log(1.1), rel=1e-4)


def test_points_that_the_earlier_frame_did_not_see_are_left_out():
    a, b = Path().samples
    hidden = a.targets["depth"].copy()
    hidden[:, :32] = 1.0
    blocked = Sample(a.image, a.targets | {"depth": hidden}, INTRINSICS, a.world_from_camera)
    assert find_correspondence(blocked, b).a_columns.min() >= 32


def test_depth_up_to_scale_is_aligned_frame_by_frame_and_has_no_figure_in_metres():
    path = Path()

    def scaled(image: np.ndarray, _lens: Intrinsics | None) -> DensePrediction:
        step = calls.pop(0)
        depth = path[step].targets["depth"] * np.float32((0.01, 30.0)[step])
        depth[0, :3] = np.nan
        return DensePrediction(depth=depth, depth_is_metric=False)

    calls = [0, 1]
    metrics = evaluate(scaled, path, range(2), 2).metrics
    assert set(metrics) == {
        f"depth_aligned_{name}" for name in ("abs_rel", "delta1", "delta2", "delta3", "coverage")
    }
    assert metrics["depth_aligned_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert metrics["depth_aligned_coverage"] == pytest.approx(1 - 3 / (48 * 64))


def test_a_perfect_model_gets_perfect_figures():
    path = Path()

    def perfect(image: np.ndarray, _intrinsics: Intrinsics | None) -> DensePrediction:
        sample = path[calls.pop(0)]
        targets = sample.targets
        return DensePrediction(targets["semseg"], targets["depth"], targets["normals"] * 2)

    calls = [0, 1]
    report = evaluate(perfect, path, range(2), 2)
    assert report.frames == 2
    assert report.class_iou == [1.0, 1.0]
    expected = {
        "semseg_miou": 1, "depth_rmse": 0, "depth_delta1": 1, "normals_mean": 0, "flicker": 0,
    }  # fmt: skip
    assert {k: report.metrics[k] for k in expected} == pytest.approx(expected, abs=1e-6)
