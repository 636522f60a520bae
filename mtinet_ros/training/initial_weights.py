# SPDX-License-Identifier: Apache-2.0
"""The network of a run with the weights that it starts from."""

from __future__ import annotations

import logging

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_contract import DEPTH_OUTPUTS
from mtinet_ros.network import MultiTaskNetwork, build_network
from mtinet_ros.network.checkpoint import load_imagenet_backbone, read_checkpoint
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
        _load_imagenet(network, config.backbone_weights)
    elif config.backbone_weights:
        raise ConfigurationError(
            f"network: backbone_weights is {config.backbone_weights}, and initial is "
            f"{config.initial}; set initial to imagenet, or leave backbone_weights out"
        )
    elif config.initial != "random":
        network = _from_checkpoint(config.initial, network)
    return network


def _load_imagenet(network: MultiTaskNetwork, path: str) -> None:
    """Give the backbone the ImageNet weights of a file, or those of a package if there is one."""
    backbone, name = network.backbone, network.backbone_name
    if path:
        load_imagenet_backbone(network, path)
        return
    weights = backbone.installed_imagenet_weights()
    if weights is None:
        raise ConfigurationError(
            f"network: no package brings ImageNet weights for {name}; set backbone_weights to a "
            f"file, {backbone.public_files}; or initial to random or to a checkpoint"
        )
    backbone.load_imagenet_weights(weights, f"the package with ImageNet weights of {name}")


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
