# SPDX-License-Identifier: Apache-2.0
"""Metrics against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mtinet_ros.training.metrics import DepthMetric, NormalMetric, SegmentationMetric


def test_miou_by_hand_with_void_and_an_absent_class():
    metric = SegmentationMetric(3)
    metric.update(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 255]]))
    metric.update(torch.tensor([[1, 1]]), torch.tensor([[1, 0]]))
    # Class 0: 1 hit, union 3. Class 1: 2 hits, union 4. Class 2 absent counts 0.
    assert metric.iou() == pytest.approx([1 / 3, 1 / 2, 0])
    values = metric.compute()
    assert values["miou"] == pytest.approx((1 / 3 + 1 / 2) / 3)
    assert values["accuracy"] == pytest.approx(3 / 5)


def test_depth_by_hand_pooled_over_images_of_different_size():
    metric = DepthMetric()
    metric.update(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([1.0, 1.0, 0.0]))
    metric.update(torch.tensor([3.0]), torch.tensor([4.0]))
    values = metric.compute()
    assert values["rmse"] == pytest.approx(math.sqrt((0 + 1 + 1) / 3))
    assert values["abs_rel"] == pytest.approx((0 + 1 + 0.25) / 3)
    assert (values["delta1"], values["delta2"], values["delta3"]) == pytest.approx(
        (1 / 3, 2 / 3, 2 / 3)
    )


def test_depth_that_is_not_predicted_shows_in_the_coverage():
    metric = DepthMetric()
    metric.update(torch.tensor([1.0, math.nan, math.nan]), torch.tensor([1.0, 1.0, 0.0]))
    values = metric.compute()
    assert (values["rmse"], values["coverage"]) == (0, 0.5)


def test_normals_by_hand_any_length_and_unknown_pixels():
    def at(degrees: float) -> list[float]:
        return [math.sin(math.radians(degrees)), 0.0, -math.cos(math.radians(degrees))]

    predicted = 2 * torch.tensor([at(0), at(10), at(25), at(90)])
    truth = torch.tensor([at(0), at(0), at(0), [0.0, 0.0, 0.0]])
    metric = NormalMetric()
    metric.update(predicted, truth)
    values = metric.compute()
    assert values["mean"] == pytest.approx(35 / 3, abs=1e-4)
    assert values["median"] == pytest.approx(10, abs=0.011)
    assert values["rmse"] == pytest.approx(math.sqrt((0 + 100 + 625) / 3), abs=1e-4)
    assert (values["below_11"], values["below_22"], values["below_30"]) == pytest.approx(
        (2 / 3, 2 / 3, 1)
    )
