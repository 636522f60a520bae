# SPDX-License-Identifier: Apache-2.0
"""Confidence is believed by planners: its error is measured right, its temperature is the best."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from mtinet_ros.errors import DataError
from mtinet_ros.training.reliability import (
    BINS,
    expected_calibration_error,
    reliability_by_bin,
    reliability_sums,
)
from mtinet_ros.training.temperature import (
    GREATEST,
    LEAST,
    confidence_of,
    fit_temperature,
    negative_log_likelihood,
)


def test_the_calibration_error_is_the_one_worked_out_by_hand():
    """Two bins: (0.8, 0.87] has 210 (right) and 216 (wrong), (0.93, 1] has 255 twice, one right;
    a void pixel counts nowhere. (|1 - 426 / 255| + |1 - 2|) / 4."""
    confidence = np.array([[210, 216, 255, 255, 1]], np.uint8)
    predicted = np.array([[3, 3, 2, 2, 0]], np.uint8)
    truth = np.array([[3, 1, 2, 0, 255]], np.uint8)
    sums = reliability_sums(confidence, predicted, truth)
    assert sums[[12, 14]].tolist() == [[2, pytest.approx(426 / 255), 1], [2, 2, 1]]
    assert sums.sum(0)[0] == 4
    error = expected_calibration_error(sums)
    assert error == pytest.approx((abs(1 - 426 / 255) + abs(1 - 2)) / 4)
    entry = reliability_by_bin(sums)[12]
    assert entry == pytest.approx(
        {"from": 12 / 15, "to": 13 / 15, "share": 0.5, "confidence": 213 / 255, "accuracy": 0.5}
    )
    assert set(reliability_by_bin(sums)[0]) == {"from", "to", "share"}


def test_an_interval_holds_its_upper_end_as_in_the_paper():
    values = np.array([0, 1, 17, 18, 34, 35, 238, 239, 255], np.uint8)
    ids = np.zeros(len(values), np.uint8)
    counts = reliability_sums(values, ids, ids)[:, 0]
    assert {number: count for number, count in enumerate(counts) if count} == {
        0: 3, 1: 2, 2: 1, 13: 1, 14: 2,
    }  # fmt: skip


def test_the_calibration_error_is_that_of_torchmetrics():
    """On any confidences but those on an edge between bins, which it puts into the upper one."""
    random = np.random.default_rng(0)
    classes, pixels = 4, 5000
    values = random.integers(70, 255, pixels)
    values = np.where(values % 17 == 0, values + 1, values).astype(np.uint8)
    predicted = random.integers(0, classes, pixels).astype(np.uint8)
    truth = np.where(random.random(pixels) < 0.6, predicted, 0).astype(np.uint8)
    truth[::9] = 255
    shares = np.empty((pixels, classes), np.float32)
    shares[:] = ((1 - values / 255.0) / (classes - 1))[:, np.newaxis]
    shares[np.arange(pixels), predicted] = values / 255.0
    expected = multiclass_calibration_error(
        torch.from_numpy(shares), torch.from_numpy(truth.astype(np.int64)), classes, BINS, "l1",
        ignore_index=255,
    )  # fmt: skip
    sums = np.zeros((BINS, 3))
    for half in (slice(None, 2000), slice(2000, None)):  # frames add up
        sums += reliability_sums(values[half], predicted[half], truth[half])
    assert expected_calibration_error(sums) == pytest.approx(float(expected), abs=1e-6)
    assert expected > 0.05


def test_without_a_pixel_of_truth_there_is_no_figure():
    nothing = np.full(4, 255, np.uint8)
    assert np.isnan(expected_calibration_error(reliability_sums(nothing, nothing, nothing)))


def sampled(temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose classes are drawn with the probabilities softmax(z / temperature)."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (20000, 6)).astype(np.float32)
    gumbel = random.gumbel(size=logits.shape)
    return logits, (logits / temperature + gumbel).argmax(1).astype(np.uint8)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    logits, labels = sampled(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_no_other_temperature_is_likelier():
    """Against PyTorch's cross-entropy, over a fine grid around it."""
    logits, labels = sampled(1.7)
    found = fit_temperature(logits + np.float32(500), labels)  # softmax does not see the shift
    z, y = torch.from_numpy(logits).double(), torch.from_numpy(labels.astype(np.int64))
    losses = {
        factor: float(torch.nn.functional.cross_entropy(z / (found * factor), y))
        for factor in (0.98, 0.998, 1.0, 1.002, 1.02)
    }
    assert min(losses, key=losses.__getitem__) == 1.0
    assert negative_log_likelihood(logits, labels, found) == pytest.approx(losses[1.0], rel=1e-6)


def test_a_network_that_is_always_right_or_always_wrong_has_a_temperature_too():
    logits = np.random.default_rng(0).normal(0, 1, (100, 3)).astype(np.float32)
    assert fit_temperature(logits, logits.argmax(1)) == pytest.approx(LEAST, rel=0.01)
    assert fit_temperature(logits, logits.argmin(1)) == pytest.approx(GREATEST, rel=0.01)


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (np.zeros((0, 3), np.float32), np.zeros(0, int), "no pixel has truth"),
        (np.zeros((1, 3), np.float32), np.array([3]), "class 3, the network 3 classes"),
        (np.full((1, 3), np.nan, np.float32), np.zeros(1, int), "logits are not finite"),
    ],
)
def test_what_no_temperature_can_be_fitted_to_is_told(logits, labels, said):
    with pytest.raises(DataError, match=said):
        fit_temperature(logits, labels)


def test_confidence_is_pytorchs_softmax_rounded():
    logits = np.random.default_rng(2).normal(0, 20, (1000, 13)).astype(np.float32)
    expected = (torch.from_numpy(logits).double() / 1.4).softmax(1).amax(1) * 255
    assert np.abs(confidence_of(logits, 1.4) - expected.numpy()).max() < 0.501
