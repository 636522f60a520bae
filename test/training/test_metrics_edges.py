# SPDX-License-Identifier: Apache-2.0
"""odsF against pairings worked out by hand, or tried out one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

pytest.importorskip("torchmetrics")

from mtinet_ros.training.metrics_edges import (
    EdgeMetric,
    count_pairs,
    edge_counts,
    ods_figures,
)


def drawn(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def largest_pairing(predicted: np.ndarray, truth: np.ndarray, radius: float) -> int:
    """By trying all ways; for a handful of pixels."""
    true = [tuple(p) for p in np.argwhere(truth)]

    def best(pixels: list, free: frozenset) -> int:
        if not pixels:
            return 0
        (row, column), *others = pixels
        near = [t for t in free if (t[0] - row) ** 2 + (t[1] - column) ** 2 <= radius**2]
        return max(best(others, free), *(1 + best(others, free - {t}) for t in near), 0)

    return best([tuple(p) for p in np.argwhere(predicted)], frozenset(true))


def test_no_pairing_is_larger_than_the_one_that_is_found():
    random = np.random.default_rng(3)
    for _ in range(60):
        shape = random.integers(2, 6, 2)
        predicted = random.random(shape) < 0.35
        truth = random.random(shape) < 0.35
        if predicted.sum() > 7:
            continue
        radius = random.choice([1.0, 1.5, 2.0])
        assert count_pairs(predicted, truth, radius) == largest_pairing(predicted, truth, radius)


def test_a_pixel_gives_way_so_that_another_finds_a_partner():
    # Nearest first would pair the middle prediction with its own place and leave the left one
    # alone; both have partners if the middle one goes to the right.
    predicted, truth = drawn("##...#"), drawn(".##..#")
    assert count_pairs(predicted, truth, 1.0) == 3
    assert count_pairs(drawn("######"), drawn("..#..."), 2.0) == 1


def test_a_chain_of_a_thousand_pixels_moves_by_one():
    predicted, truth = np.zeros((3, 1002), bool), np.zeros((3, 1002), bool)
    predicted[1, :1000], truth[1, 1:1001] = True, True
    assert count_pairs(predicted, truth, 1.0) == 1000


def test_a_pair_is_as_far_apart_as_allowed_and_no_farther():
    predicted, truth = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    predicted[100, 100], truth[103, 102] = True, True  # √13 = 3.606 apart, the diagonal is 500
    probability = predicted.astype(np.float32)
    assert edge_counts(probability, truth, (0.5,), 3.61 / 500).tolist() == [[1, 1, 1]]
    assert edge_counts(probability, truth, (0.5,), 3.60 / 500).tolist() == [[0, 1, 1]]
    assert edge_counts(probability, truth, (0.5,)).tolist() == [[1, 1, 1]]  # 0.0075 of it: 3.75


def test_the_threshold_is_one_for_all_images_and_counts_are_summed_before():
    # Two images with one true pixel each; the radius is less than a pixel.
    truth = torch.tensor([[[1, 0, 0, 0]], [[1, 0, 0, 0]]])
    seen = torch.tensor([[[0.9, 0.0, 0.5, 0.0]], [[0.5, 0.0, 0.3, 0.0]]])
    metric = EdgeMetric((0.2, 0.4, 0.6))
    metric.update(seen[:1], truth[:1])
    metric.update(seen[1:, None], truth[1:, None])  # with an axis of channels, as in training
    # 0.2: 2 of 4 predicted are right, all true are found. 0.4: 2 of 3. 0.6: 1 of 1, half is found.
    assert metric.counts.tolist() == [[2, 4, 2], [2, 3, 2], [1, 1, 2]]
    values = metric.compute()
    assert values["odsf"] == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert (values["precision"], values["recall"]) == pytest.approx((2 / 3, 1))
    assert values["threshold"] == 0.4


def test_where_truth_is_unknown_nothing_predicted_is_wrong():
    truth = np.array([[1, 0, 0, 255, 255]])
    assert edge_counts(np.array([[1.0, 0, 0, 0, 1.0]]), truth, (0.5,)).tolist() == [[1, 1, 1]]
    metric = EdgeMetric((0.5,))
    metric.update(torch.ones(1, 1, 4, 4), torch.full((1, 1, 4, 4), 255.0))
    assert metric.compute() == {}


def test_hard_edges_count_alike_at_every_threshold():
    truth = drawn("......", ".####.", "......")
    counts = edge_counts(truth.astype(np.float32), truth)
    assert counts.tolist() == [[4, 4, 4]] * 99
    assert ods_figures(torch.from_numpy(counts))["odsf"] == 1


def test_an_image_is_paired_within_itself():
    # What one image misses must not be paired with what another one says too much.
    metric = EdgeMetric((0.5,))
    blank, line = torch.zeros(1, 5, 5), torch.zeros(1, 5, 5)
    line[0, 2] = 1
    for seen, true in product((blank, line), repeat=2):
        if not torch.equal(seen, true):
            metric.update(seen, true)
    assert metric.compute()["odsf"] == 0
