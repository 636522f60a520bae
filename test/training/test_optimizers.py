# SPDX-License-Identifier: Apache-2.0
"""Steps, rates and epochs as the paper's results had them, against arithmetic done by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.config import OptimizerConfig
from mtinet_ros.training.loader import StepSampler
from mtinet_ros.training.mixture import Mixture
from mtinet_ros.training.optimizers import check_optimizer, kind_of_state, make_optimizer
from mtinet_ros.training.steps import Steps, rate_factor, steps_of_run

RATE, DECAY = 1e-2, 0.3


def tiny_network() -> nn.Module:
    """Something of every kind: weights, biases, normalization, and a backbone."""
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("backbone", nn.Conv2d(3, 4, 3))
    network.add_module("norm", nn.BatchNorm2d(4))
    network.add_module("head", nn.Conv2d(4, 2, 1))
    return network.double()


def stepped(
    config: OptimizerConfig, rule: Callable[[np.ndarray, np.ndarray, dict, int], np.ndarray]
) -> tuple[nn.Module, dict[str, np.ndarray]]:
    """A network after three steps, and its parameters after three of a rule's with NumPy.

    The rule gets parameter, gradient, what it keeps of the parameter, and the step from 1.
    """
    network = tiny_network()
    images = torch.randn(3, 2, 3, 6, 6, dtype=torch.float64)
    by_hand = copy.deepcopy(network)
    memory: dict[str, dict] = {name: {} for name, _ in by_hand.named_parameters()}
    for step, image in enumerate(images, 1):
        by_hand.zero_grad()
        by_hand(image).square().sum().backward()
        with torch.no_grad():
            for name, parameter in by_hand.named_parameters():
                new = rule(parameter.numpy(), parameter.grad.numpy(), memory[name], step)
                parameter.copy_(torch.from_numpy(new))
    optimizer = make_optimizer(network, config)
    for image in images:
        optimizer.zero_grad()
        network(image).square().sum().backward()
        optimizer.step()
    return network, {name: p.detach().numpy() for name, p in by_hand.named_parameters()}


def adam(p: np.ndarray, gradient: np.ndarray, kept: dict, step: int) -> np.ndarray:
    gradient = gradient + DECAY * p
    kept["m"] = 0.9 * kept.get("m", 0.0) + 0.1 * gradient
    kept["v"] = 0.999 * kept.get("v", 0.0) + 0.001 * gradient**2
    mean, square = kept["m"] / (1 - 0.9**step), kept["v"] / (1 - 0.999**step)
    return p - RATE * mean / (np.sqrt(square) + 1e-8)


def sgd(p: np.ndarray, gradient: np.ndarray, kept: dict, _step: int) -> np.ndarray:
    kept["b"] = 0.8 * kept.get("b", 0.0) + gradient + DECAY * p
    return p - RATE * kept["b"]


@pytest.mark.parametrize(("kind", "rule"), [("adam", adam), ("sgd", sgd)])
def test_three_steps_decay_every_parameter_through_its_gradient(kind, rule):
    config = OptimizerConfig(
        kind=kind, learning_rate=RATE, weight_decay=DECAY, momentum=0.8, backbone_factor=1.0
    )
    network, expected = stepped(config, rule)
    for name, parameter in network.named_parameters():
        assert parameter.detach().numpy() == pytest.approx(expected[name], rel=1e-10, abs=1e-14)


def test_adamw_decays_weights_alone_and_the_backbone_learns_slowly():
    config = OptimizerConfig(learning_rate=RATE, weight_decay=DECAY, backbone_factor=0.25)
    rates = {}
    network = tiny_network()
    for group in make_optimizer(network, config).param_groups:
        for name, parameter in network.named_parameters():
            if any(parameter is other for other in group["params"]):
                rates[name] = (group["lr"], group["weight_decay"])
    assert rates == {
        "backbone.weight": (RATE / 4, DECAY),
        "backbone.bias": (RATE / 4, 0),
        "norm.weight": (RATE, 0),
        "norm.bias": (RATE, 0),
        "head.weight": (RATE, DECAY),
        "head.bias": (RATE, 0),
    }


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_a_state_tells_which_optimizer_it_is_of(kind):
    optimizer = make_optimizer(tiny_network(), OptimizerConfig(kind=kind))
    assert kind_of_state(optimizer.state_dict()) == kind


def test_the_papers_recipe_on_nyud_has_its_steps_and_rates():
    """795 frames in batches of 8, 100 epochs; 1e-4 (1 - epoch / 100)^0.9."""
    config = OptimizerConfig(max_epochs=100, decay_by="epoch", decay_power=0.9)
    steps = steps_of_run(config, frames=795, batch=8)
    assert (steps.per_epoch, steps.total) == (99, 9900)
    for step, epoch in ((0, 0), (98, 0), (99, 1), (4999, 50), (9899, 99)):
        expected = 1e-4 * math.pow(1 - epoch / 100, 0.9)
        assert 1e-4 * rate_factor(step, config, steps) == pytest.approx(expected, rel=1e-12)


def test_every_epoch_is_a_new_order_without_its_last_frames():
    config = OptimizerConfig(max_epochs=3, decay_by="epoch")
    steps = steps_of_run(config, frames=11, batch=4)
    processes = [
        StepSampler(Mixture([11], [1.0], 7), 2, lambda: 0, rank, 2, steps.first_frame)
        for rank in (0, 1)
    ]
    both = zip(*processes, strict=True)
    batches = [[index for keys in next(both) for _, index, _ in keys] for _ in range(steps.total)]
    assert steps.total == 6
    epochs = [batches[first] + batches[first + 1] for first in (0, 2, 4)]
    for number, epoch in enumerate(epochs):
        order = np.random.default_rng((7, number, 0)).permutation(11)
        assert epoch == order[:8].tolist()


def test_a_run_counted_in_steps_leaves_no_frame_out():
    steps = steps_of_run(OptimizerConfig(max_steps=7), frames=11, batch=4)
    assert [steps.first_frame(step) for step in range(4)] == [0, 4, 8, 12]
    assert steps == Steps(7, 4)


@pytest.mark.parametrize(
    ("config", "fragment"),
    [
        (OptimizerConfig(kind="lion"), "optimizer.kind is 'lion'; it must be one of adamw, adam"),
        (OptimizerConfig(decay_by="year"), "optimizer.decay_by is 'year'; .* step, epoch"),
        (OptimizerConfig(decay_by="epoch"), "the run counts steps; set optimizer.max_epochs"),
    ],
)
def test_unknown_optimizers_and_schedules_are_refused(config, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        check_optimizer(config)


def test_an_epoch_without_a_whole_batch_is_refused():
    with pytest.raises(ConfigurationError, match="5 training frames has no batch of 8"):
        steps_of_run(OptimizerConfig(max_epochs=1), frames=5, batch=8)
