# SPDX-License-Identifier: Apache-2.0
"""Losses against figures worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from mtinet_ros.errors import ConfigurationError, DataError
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
    saliency_bce,
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
    # (0, 0, -1) against (0, 0, -1), (1, 0, 0) against (0, 0, -1): 2 over 6 components.
    assert normals_l1(predicted, truth).item() == pytest.approx(2 / 6)


def test_balanced_bce_by_hand():
    logits, truth = maps([0.0, 0.0, 9.0]), maps([1.0, 0.0, 255.0])
    expected = math.log(2) * (0.95 + 0.05) / 2
    assert balanced_bce(logits, truth).item() == pytest.approx(expected)


def test_saliency_weighs_positives_by_the_share_of_negatives_in_the_batch():
    # One positive, three negatives, one unknown: 0.75 and 0.25.
    logits = maps([0.0, math.log(3), 0.0, -math.log(3), 9.0])
    truth = maps([1.0, 0.0, 0.0, 0.0, 255.0])
    entropies = (
        0.75 * math.log(2),
        0.25 * math.log(4),
        0.25 * math.log(2),
        0.25 * math.log(4 / 3),
    )
    assert saliency_bce(logits, truth).item() == pytest.approx(sum(entropies) / 4)


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_a_batch_of_one_kind_of_saliency_costs_nothing(only):
    """Its share weighs the other kind, of which there is none."""
    logits = maps([2.0, -1.0]).requires_grad_()
    loss = saliency_bce(logits, maps([only, only]))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_normal_without_direction_has_a_finite_loss_and_no_gradient():
    """In half precision a prediction can be exactly zero; it has nowhere to turn from."""
    truth = torch.tensor([0.0, 0.6, -0.8]).view(1, 3, 1, 1)
    for name, expected in (("normals_l1", 1.4 / 3), ("cosine", 1.0)):
        for length in (0.0, 1e-9):
            predicted = torch.full((1, 3, 1, 1), length, requires_grad=True)
            loss = LOSSES[name].function(predicted, truth)
            loss.backward()
            assert loss.item() == pytest.approx(expected)
            assert not predicted.grad.any()


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["l1", "log_l1", "log_gradient", "cosine", "normals_l1"])
def test_truth_that_is_no_number_is_unknown(name, bad):
    """One infinite pixel made the whole loss infinite, one NaN its gradient."""
    results = []
    unknown, wrong = 0.0, bad
    for value in (unknown, wrong):
        prediction, truth = random_case(name)
        prediction.requires_grad_()
        truth[:, :, 2:4, 1] = unknown
        truth[:, -1, 2:4, 1] = value
        loss = LOSSES[name].function(prediction, truth)
        loss.backward()
        results.append((loss.item(), prediction.grad))
    assert math.isfinite(results[0][0])
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("label", [4, 254, -1])
def test_a_label_outside_the_classes_is_named(label):
    logits, labels = random_case("cross_entropy")
    labels[1, 2, 3] = label
    for weights in (None, torch.ones(4, dtype=torch.float64)):
        with pytest.raises(DataError, match=f"the label {label}; there are 4 classes, 0 to 3"):
            cross_entropy(logits, labels, weights)


SIX_TASKS = {
    "semseg": {"cross_entropy": 1.0},
    "human_parts": {"cross_entropy": 2.0},
    "sal": {"saliency_bce": 5.0},
    "normals": {"normals_l1": 10.0},
    "edge": {"balanced_bce": 50.0},
    "depth": {"l1": 1.5},
}
CHANNELS = {"semseg": 5, "human_parts": 7, "sal": 1, "normals": 3, "edge": 1, "depth": 1}


def loss_by_definition(task: str, p: np.ndarray, t: np.ndarray) -> float:
    """The authors' loss of one task, from its definition: N×C×H×W and its ground truth."""
    if task in ("semseg", "human_parts"):
        known = t != 255
        log_sum = np.log(np.exp(p).sum(1))
        chosen = np.take_along_axis(p, np.where(known, t, 0)[:, None], 1)[:, 0]
        return float((log_sum - chosen)[known].mean())
    if task == "depth":
        return float(np.abs(p - t)[t != 0].mean())
    if task == "normals":
        unit = p / np.sqrt((p**2).sum(1, keepdims=True))
        known = np.broadcast_to(np.abs(t).sum(1, keepdims=True) > 0, t.shape)
        return float(np.abs(unit - t)[known].mean())
    probability = 1 / (1 + np.exp(-p))
    w = 0.95 if task == "edge" else (t == 0).mean()
    entropy = np.where(t == 1, -w * np.log(probability), -(1 - w) * np.log(1 - probability))
    return float(entropy.mean())


def six_targets(noise: np.random.Generator, rows: int, columns: int) -> dict[str, np.ndarray]:
    shape = (2, 1, rows, columns)
    normals = noise.normal(size=(2, 3, rows, columns))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals[:, :, 1, :3] = 0
    depth = noise.uniform(0.5, 9, shape)
    depth[:, :, :2, 2:5] = 0
    labels = {task: noise.integers(0, CHANNELS[task], (2, rows, columns)) for task in SIX_TASKS}
    labels["semseg"][:, 3] = 255
    labels["human_parts"][1] = 255  # as of a picture without people
    return {
        "semseg": labels["semseg"],
        "human_parts": labels["human_parts"],
        "sal": (noise.random(shape) < 0.3).astype(float),
        "normals": normals,
        "edge": (noise.random(shape) < 0.1).astype(float),
        "depth": depth,
    }


def test_the_total_of_six_tasks_is_the_papers():
    """Final predictions and all four scales of initial ones, worked out with NumPy and OpenCV."""
    noise, rows, columns = np.random.default_rng(3), 32, 64
    targets = six_targets(noise, rows, columns)
    final = {t: noise.normal(size=(2, c, rows, columns)) for t, c in CHANNELS.items()}
    initial = [
        {t: noise.normal(size=(2, c, rows >> k, columns >> k)) for t, c in CHANNELS.items()}
        for k in (2, 3, 4, 5)
    ]

    def enlarged(prediction: np.ndarray) -> np.ndarray:
        return np.stack(
            [[cv2.resize(plane, (columns, rows)) for plane in image] for image in prediction]
        )

    expected = 0.0
    for predictions in (final, *initial):
        for task, ((_, weight),) in ((t, terms.items()) for t, terms in SIX_TASKS.items()):
            prediction = enlarged(predictions[task])
            expected += weight * loss_by_definition(task, prediction, targets[task])
    output = MTINetOutput(
        {task: torch.from_numpy(values) for task, values in final.items()},
        [{task: torch.from_numpy(v) for task, v in scale.items()} for scale in initial],
    )
    loss = MultiTaskLoss(LossConfig(terms=SIX_TASKS), CHANNELS, "metres")
    losses = loss(output, {task: torch.from_numpy(values) for task, values in targets.items()})
    for task, terms in SIX_TASKS.items():
        by_definition = loss_by_definition(task, final[task], targets[task])
        assert losses[f"{task}/{next(iter(terms))}"].item() == pytest.approx(by_definition, 1e-12)
    assert losses["total"].item() == pytest.approx(expected, 1e-9)


def test_a_network_without_initial_predictions_has_the_final_loss_alone():
    loss = MultiTaskLoss(LossConfig(terms={"depth": {"l1": 2.0}}), {"depth": 1}, "metres")
    output = MTINetOutput({"depth": maps([1.0, 2.0])}, [])
    losses = loss(output, {"depth": maps([3.0, 3.0])})
    assert (losses["total"].item(), losses["deep_supervision"].item()) == (3.0, 0.0)


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
