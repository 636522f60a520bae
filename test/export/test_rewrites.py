# SPDX-License-Identifier: Apache-2.0
"""Every rewrite for speed answers what the paper's form answers."""

from __future__ import annotations

import pytest
import torch

from mtinet_ros.export.rewrites import rewrite_for_speed
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.export.untrained import _calibrate_batch_norm, _normalized
from mtinet_ros.network import MTINet

EXACT = 1e-4  # of a standard deviation


def deviations(network: MTINet) -> dict[str, float]:
    image = _normalized(synthetic_images(1, (64, 96), seed=3))
    with torch.inference_mode():
        before = network(image).predictions
        after = rewrite_for_speed(network)(image).predictions
    return {t: float((after[t] - y).abs().max() / y.std()) for t, y in before.items()}


def test_the_rewritten_network_is_exact(untrained):
    network, _ = untrained
    found = deviations(network)
    assert set(found) == {"semseg", "normals", "depth"}
    assert max(found.values()) <= EXACT


@pytest.mark.parametrize(
    ("tasks", "auxiliary"),
    [
        ({"semseg": 5, "depth": 1}, {"semseg": 5, "normals": 3, "edge": 1, "depth": 1}),
        ({"depth": 1}, {"semseg": 5, "depth": 1}),
        ({"normals": 3}, {"normals": 3}),
        ({"semseg": 3, "human_parts": 7, "sal": 2, "normals": 3, "edge": 1}, None),
    ],
)
def test_it_is_exact_for_other_task_sets(tasks, auxiliary):
    torch.manual_seed(0)
    network = MTINet("efficientnet_lite0", tasks, auxiliary)
    _calibrate_batch_norm(network, [_normalized(synthetic_images(2, (64, 96)))])
    assert max(deviations(network).values()) <= EXACT


def test_the_network_given_is_left_alone(untrained):
    network, _ = untrained
    names = set(network.state_dict())
    rewrite_for_speed(network)
    assert set(network.state_dict()) == names


def test_arithmetic_shrinks(untrained):
    from torch.utils.flop_counter import FlopCounterMode

    def count(network: MTINet) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 64, 96))
        return counter.get_total_flops()

    network, _ = untrained
    assert count(rewrite_for_speed(network)) < 0.9 * count(network)
