# SPDX-License-Identifier: Apache-2.0
"""The optimizers of a run by name: ours, and those that the paper's results were made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.config import OptimizerConfig

KINDS = ("adamw", "adam", "sgd")
DECAYS = ("step", "epoch")


def check_optimizer(config: OptimizerConfig) -> None:
    """Refuse what no optimizer is called, and epochs that nobody counts.

    Raises:
        ConfigurationError: One of those; the message says what is allowed.
    """
    for name, allowed in (("kind", KINDS), ("decay_by", DECAYS)):
        if getattr(config, name) not in allowed:
            raise ConfigurationError(
                f"optimizer.{name} is {getattr(config, name)!r}; it must be one of "
                f"{', '.join(allowed)}"
            )
    if config.decay_by == "epoch" and not config.max_epochs:
        raise ConfigurationError(
            "optimizer.decay_by is epoch, and the run counts steps; set optimizer.max_epochs"
        )


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of all parameters of a network that are trained.

    AdamW decays weights apart from the gradient, and neither biases nor normalization; Adam and
    SGD add the decay of every parameter to its gradient, as the authors' training does. The
    backbone may learn at a rate of its own.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_decayed = config.kind != "adamw" or parameter.ndim > 1
            key = (name.startswith("backbone."), is_decayed)
            groups.setdefault(key, []).append(parameter)
    described: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": config.learning_rate * (config.backbone_factor if of_backbone else 1.0),
            "weight_decay": config.weight_decay if is_decayed else 0.0,
        }
        for (of_backbone, is_decayed), parameters in groups.items()
    ]
    if config.kind == "sgd":
        return torch.optim.SGD(described, momentum=config.momentum)
    return (torch.optim.Adam if config.kind == "adam" else torch.optim.AdamW)(described)


def kind_of_state(state: Mapping[str, Any]) -> str:
    """Which of `KINDS` the state of an optimizer is of."""
    group = state["param_groups"][0]
    if "momentum" in group:
        return "sgd"
    # AdamW's of earlier versions of PyTorch do not say so.
    return "adamw" if group.get("decoupled_weight_decay", True) else "adam"
