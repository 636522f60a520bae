# SPDX-License-Identifier: Apache-2.0
"""The network of a run with the weights that it starts from."""

from __future__ import annotations

import logging

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_contract import DEPTH_OUTPUTS
from mtinet_ros.network import MultiTaskNetwork, build_network
from mtinet_ros.network.backbones.efficientnet_lite import EfficientNetLite0, imagenet_weights
from mtinet_ros.network.checkpoint import read_checkpoint
from mtinet_ros.training.config import NetworkConfig

_log = logging.getLogger(__name__)


def initial_network(config: NetworkConfig) -> MultiTaskNetwork:
    """Make the network with the weights a run starts from.

    Raises:
        ConfigurationError: Impossible network, or no ImageNet weights exist for its backbone.
        ModelError: The initial weights cannot be read.
    """
    if config.depth_output not in DEPTH_OUTPUTS:
        raise ConfigurationError(
            f"network: depth_output is {config.depth_output!r}; it must be one of "
            f"{', '.join(DEPTH_OUTPUTS)}"
        )
    network = build_network(
        architecture=config.architecture,
        backbone=config.backbone,
        tasks=config.tasks,
        auxiliary_tasks=config.auxiliary_tasks or None,
        feature_propagation=config.feature_propagation,
        distillation=config.distillation,
        multi_scale=config.multi_scale,
    )
    if config.initial == "imagenet":
        if not isinstance(network.backbone, EfficientNetLite0):
            raise ConfigurationError(
                f"network: there are no ImageNet weights for {config.backbone}; set initial to "
                "random or to a checkpoint"
            )
        network.backbone.load_imagenet_weights(imagenet_weights())
    elif config.initial != "random":
        network = _from_checkpoint(config.initial, network)
    return network


def _from_checkpoint(path: str, network: MultiTaskNetwork) -> MultiTaskNetwork:
    """The network of a checkpoint, which must be such a network."""
    checkpoint = read_checkpoint(path)
    if checkpoint.note:
        _log.info("%s: %s", path, checkpoint.note)
    held, wanted = checkpoint.network.description(), network.description()
    different = [name for name in (*wanted, *held) if held.get(name) != wanted.get(name)]
    if different:
        raise ConfigurationError(
            f"network: {path} holds a network with {_listed(different, held)}; the configuration "
            f"asks for {_listed(different, wanted)}"
        )
    return checkpoint.network.train()


def _listed(names: list[str], description: dict[str, object]) -> str:
    return ", ".join(f"{name} {description.get(name, True)}" for name in dict.fromkeys(names))
