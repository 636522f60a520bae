# SPDX-License-Identifier: Apache-2.0
"""Losses against figures worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.network import MTINetOutput
from mtinet_ros.training.config import LossConfig
from mtinet_ros.training.losses import (
    LOSSES,
    MultiTaskLoss,
    balanced_bce,
    balanced_class_weights,
    cosine,
    cross_entropy,
    l1,
    log_gradient,
    log_l1,
    normals_l1,
)


def maps(*rows: list[float]) -> torch.Tensor:
    """1×1×H×W."""
    return torch.tensor([[list(rows)]], dtype=torch.float32)


def test_cross_entropy_by_hand():
    # Two pixels known, one void. Logits (0, 0): log 2. Logits (log 3, 0), class 1: log 4.
    logits = torch.tensor([[[[0.0, math.log(3), 9.0]], [[0.0, 0.0, 9.0]]]])
    labels = torch.tensor([[[0, 1, 255]]])
    assert cross_entropy(logits, labels).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    weighted = cross_entropy(logits, labels, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((math.log(2) + 3 * math.log(4)) / 4)


def test_depth_losses_by_hand():
    truth = maps([1.0, 2.0, 0.0])
    assert l1(maps([1.5, 1.0, 77.0]), truth).item() == pytest.approx(0.75)
    error = log_l1(maps([0.1, math.log(2) - 0.3, 5.0]), truth)
    assert error.item() == pytest.approx(0.2, abs=1e-6)


def test_log_gradient_ignores_scale_and_counts_a_missing_edge():
    truth = maps([1.0, 1.0, 4.0, 4.0])
    right_but_scaled = truth.log() + 0.7
    assert log_gradient(right_but_scaled, truth).item() == pytest.approx(0, abs=1e-6)
    flat = torch.zeros_like(truth)
    # Stride 1: one of three pairs misses log 4. Stride 2: one of one. Stride 4: no pair.
    assert log_gradient(flat, truth).item() == pytest.approx(math.log(4) * (1 / 3 + 1))


def test_normal_losses_by_hand():
    truth = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [[-1.0, -1.0, 0.0]]]])
    predicted = torch.tensor([[[[0.0, 3.0, 1.0]], [[0.0, 0.0, 1.0]], [[-2.0, 0.0, 1.0]]]])
    # First exact (any length), second at 90 degrees, third unknown.
    assert cosine(predicted, truth).item() == pytest.approx(0.5)
    assert normals_l1(predicted, truth).item() == pytest.approx(1.0)


def test_balanced_bce_by_hand():
    logits, truth = maps([0.0, 0.0, 9.0]), maps([1.0, 0.0, 255.0])
    expected = math.log(2) * (0.95 + 0.05) / 2
    assert balanced_bce(logits, truth).item() == pytest.approx(expected)


def test_class_weights_favor_rare_classes_and_keep_the_scale():
    counts = torch.tensor([900, 100, 0])
    weights = balanced_class_weights(counts, 0.5)
    assert (weights[1] / weights[0]).item() == pytest.approx(3.0)
    assert (weights[0] * 0.9 + weights[1] * 0.1).item() == pytest.approx(1.0)
    assert weights[2] == 1
    assert balanced_class_weights(counts, 0.0).tolist() == [1, 1, 1]


def random_case(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction 2×C×5×6 in float64 and a ground truth with a hole."""
    generator = torch.Generator().manual_seed(1)

    def noise(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    task = LOSSES[name].tasks[0]
    if task == "semseg":
        truth = (noise(2, 5, 6) * 4).long()
        truth[:, 0, :2] = 255
        return noise(2, 4, 5, 6) * 3, truth
    if task == "normals":
        truth = torch.nn.functional.normalize(noise(2, 3, 5, 6) - 0.5, dim=1)
        truth[:, :, 0, :2] = 0
        return noise(2, 3, 5, 6) - 0.5, truth
    if task == "depth":
        truth = noise(2, 1, 5, 6) * 3 + 0.5
        truth[..., 0, :2] = 0
        return noise(2, 1, 5, 6) * 2, truth
    truth = (noise(2, 1, 5, 6) > 0.5).double()
    truth[..., 0, :2] = 255
    return noise(2, 1, 5, 6) * 4 - 2, truth


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_agree_with_finite_differences(name):
    prediction, truth = random_case(name)
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: LOSSES[name].function(p, truth), (prediction,))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_batch_without_ground_truth_gives_zero_and_no_gradient(name):
    prediction, truth = random_case(name)
    prediction.requires_grad_()
    unknown = 0 if LOSSES[name].tasks[0] in ("depth", "normals") else 255
    loss = LOSSES[name].function(prediction, torch.full_like(truth, unknown))
    loss.backward()
    assert loss.item() == 0
    assert not prediction.grad.any()


def test_total_is_the_weighted_sum_of_final_and_all_initial_predictions():
    config = LossConfig(terms={"depth": {"l1": 2.0}}, deep_supervision=0.5)
    loss = MultiTaskLoss(config, {"depth": 1}, "metres")
    truth = torch.full((1, 1, 32, 32), 3.0)
    initial = [{"depth": torch.full((1, 1, 8 >> k, 8 >> k), 2.0)} for k in range(4)]
    output = MTINetOutput({"depth": torch.full((1, 1, 32, 32), 3.25)}, initial)
    losses = loss(output, {"depth": truth})
    assert losses["depth/l1"].item() == pytest.approx(0.25)
    assert losses["deep_supervision"].item() == pytest.approx(4 * 2 * 1.0)
    assert losses["total"].item() == pytest.approx(2 * 0.25 + 0.5 * 8)


@pytest.mark.parametrize(
    ("terms", "encoding", "fragment"),
    [
        ({}, "metres", "has no loss"),
        ({"depth": {"cosine": 1.0}}, "metres", "'cosine'; it takes l1"),
        ({"depth": {"l1": 1.0}}, "log_metres", "it takes log_l1, log_gradient"),
    ],
)
def test_unsuitable_losses_are_refused_with_the_suitable_ones(terms, encoding, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        MultiTaskLoss(LossConfig(terms=terms), {"depth": 1}, encoding)
