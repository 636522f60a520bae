# SPDX-License-Identifier: Apache-2.0
"""Metrics against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torchmetrics

from mtinet_ros.training.metrics import (
    DepthMetric,
    HumanPartsMetric,
    NormalMetric,
    SegmentationMetric,
    task_metrics,
)
from mtinet_ros.training.metrics_saliency import SaliencyMetric


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


def test_human_parts_of_images_that_show_nobody_do_not_count():
    metric = HumanPartsMetric(3)
    truth = torch.tensor([[[0, 1], [1, 2]], [[0, 0], [0, 0]], [[255, 255], [255, 255]],
                          [[0, 255], [0, 0]]])  # fmt: skip
    seen = torch.tensor([[[0, 1], [2, 2]], [[1, 1], [1, 1]], [[2, 2], [2, 2]], [[0, 1], [0, 2]]])
    metric.update(seen[:3], truth[:3])
    metric.update(seen[3], truth[3])  # background with unknown pixels counts
    # Background: 1 + 2 hits, 1 more is true. Part 1: 1 hit of 2. Part 2: 1 hit, 2 false alarms.
    assert metric.iou() == pytest.approx([3 / 4, 1 / 2, 1 / 3])
    assert metric.compute()["miou"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 3) / 3)
    nobody = HumanPartsMetric(3)
    nobody.update(seen[1:3], truth[1:3])
    assert nobody.compute() == {}


def test_saliency_is_a_mean_over_images_at_the_best_threshold():
    metric = SaliencyMetric((0.3, 0.6))
    truth = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    seen = torch.tensor([[[0.9, 0.4, 0.5, 0.1]], [[0.4, 0.0, 0.0, 0.0]]])
    metric.update(seen[:, None], truth[:, None].float())
    metric.update(torch.ones(1, 1, 1, 4), torch.full((1, 1, 1, 4), 255.0))  # nothing is known
    values = metric.compute()
    # First image, 0.3: 2 of 3 are right, both found, IoU 2/3; 0.6: 1 of 1, half, 1/2. Second
    # image, without anything salient: 0 and IoU 0; at 0.6 nothing is predicted, so IoU 1.
    assert values["miou"] == pytest.approx(max((2 / 3 + 0) / 2, (1 / 2 + 1) / 2))
    f = [2 * p * r / (p + r) for p, r in ((1 / 3, 1 / 2), (1 / 2, 1 / 4))]
    assert values["maxf"] == pytest.approx(max(f))
    weighted = [1.3 * p * r / (0.3 * p + r) for p, r in ((1 / 3, 1 / 2), (1 / 2, 1 / 4))]
    assert values["maxf_weighted"] == pytest.approx(max(weighted))


def test_saliency_is_above_a_threshold_and_not_on_it():
    metric = SaliencyMetric((0.5,))
    metric.update(torch.tensor([[0.5, 0.75]]), torch.tensor([[1, 1]]))
    assert metric.compute()["miou"] == 0.5


def test_rmse_of_images_is_not_that_of_all_pixels():
    metric = DepthMetric()
    truth = torch.tensor([[[[1.0, 1.0]]], [[[1.0, 0.0]]], [[[0.0, 0.0]]]])
    metric.update(truth + torch.tensor([1.0, 3.0, 5.0])[:, None, None, None], truth)
    values = metric.compute()
    assert values["rmse"] == pytest.approx(math.sqrt((1 + 1 + 9) / 3))
    assert values["rmse_per_image"] == pytest.approx((1 + 3) / 2)


def test_depth_below_zero_has_the_logarithm_of_a_billionth():
    metric = DepthMetric()
    metric.update(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 1.0]))
    assert metric.compute()["log_rmse"] == pytest.approx(math.sqrt(2 / 3) * math.log(1e9))


def test_every_task_is_validated_by_what_a_network_says_and_a_batch_holds():
    tasks = {"semseg": 3, "human_parts": 7, "sal": 1, "normals": 3, "edge": 1, "depth": 1}
    metrics = task_metrics(tasks)
    ids = torch.zeros(2, 4, 5, dtype=torch.long)
    one = torch.zeros(2, 1, 4, 5)
    one[..., 2] = 1
    up = torch.zeros(2, 3, 4, 5)
    up[:, 1] = -1
    truth = {"semseg": ids + 1, "human_parts": ids + 1, "sal": one, "normals": up, "edge": one,
             "depth": one + 1}  # fmt: skip
    for task, metric in metrics.items():
        metric.update(truth[task], truth[task])
    figures = {task: metric.compute() for task, metric in metrics.items()}
    assert list(figures) == list(tasks)
    assert figures["semseg"]["miou_present"] == figures["human_parts"]["miou_present"] == 1
    assert figures["sal"]["maxf"] == figures["edge"]["odsf"] == figures["depth"]["delta1"] == 1
    assert figures["normals"]["mean"] == 0


@pytest.mark.parametrize("task", ["semseg", "human_parts", "sal", "normals", "edge", "depth"])
def test_two_processes_count_as_one(task):
    random = torch.Generator().manual_seed(1)

    def drawn(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, (4, *shape), generator=random)

    seen, truth = {
        "semseg": lambda: (drawn(0, 3, 6, 5), drawn(0, 3, 6, 5)),
        "human_parts": lambda: (drawn(0, 3, 6, 5), drawn(0, 3, 6, 5)),
        "sal": lambda: (drawn(0, 9, 1, 6, 5) / 8, drawn(0, 2, 1, 6, 5)),
        "normals": lambda: (drawn(1, 9, 3, 6, 5).float(), drawn(1, 9, 3, 6, 5).float()),
        "edge": lambda: (drawn(0, 9, 1, 6, 5) / 8, drawn(0, 2, 1, 6, 5)),
        "depth": lambda: (drawn(1, 9, 1, 6, 5).float(), drawn(0, 9, 1, 6, 5).float()),
    }[task]()
    whole, half, other = (task_metrics({task: 3})[task] for _ in range(3))
    whole.update(seen, truth)
    half.update(seen[:1], truth[:1])
    other.update(seen[1:], truth[1:])
    # All states are sums, so this is what torchmetrics does between processes.
    assert set(half._reductions.values()) == {torchmetrics.utilities.dim_zero_sum}
    for state in half._defaults:
        setattr(half, state, getattr(half, state) + getattr(other, state))
    assert half.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_a_normal_without_direction_is_no_perfect_one():
    metric, truth = NormalMetric(), torch.zeros(4, 3)
    truth[:, 2] = -1
    found = truth.clone()
    found[0] = 0
    found[1, 0] = torch.nan
    found[2, 1] = torch.inf
    metric.update(found[:1], truth[:1])
    assert metric.compute()["mean"] == 90
    metric.update(found[1:], truth[1:])  # what is left of two is right
    assert metric.compute()["mean"] == 22.5
