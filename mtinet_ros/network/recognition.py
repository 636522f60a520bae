# SPDX-License-Identifier: Apache-2.0
"""Tells from the names and shapes of weights which MTI-Net they belong to.

Names and shapes give backbone, tasks, auxiliary tasks and channels. What they do not give (class
names, axes of the normals, unit of depth, focal length) has to come from the user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mtinet_ros.errors import ModelError
from mtinet_ros.network.hrnet import CONFIGS

_MAX_CHANNELS = 1024
_HEAD = re.compile(r"heads\.(\w+)\.last_layer\.3\.weight")
_DECODER = re.compile(r"scale_0\.decoders\.(\w+)\.weight")


@dataclass(frozen=True)
class Architecture:
    """What `MTINet` is built from.

    Attributes:
        backbone: Name of the backbone.
        tasks: Output channels by target task.
        auxiliary_tasks: Output channels by auxiliary task.
    """

    backbone: str
    tasks: dict[str, int]
    auxiliary_tasks: dict[str, int]


def recognise(weights: Mapping[str, Tensor], source: str) -> Architecture:
    """Work out the architecture that weights were trained with.

    Args:
        weights: Tensors by name, without the prefix "module.".
        source: What messages call the weights.

    Raises:
        ModelError: They are not an MTI-Net's, or its backbone is unknown.
    """
    tasks = _channels(weights, _HEAD, source)
    auxiliary_tasks = _channels(weights, _DECODER, source)
    if not tasks or not auxiliary_tasks:
        names = ", ".join(sorted(weights)[:3])
        raise ModelError(
            f"{source} holds no MTI-Net: no weights are named heads.<task>.last_layer.3.weight "
            f"and scale_0.decoders.<task>.weight among its {len(weights)} (first: {names})."
        )
    return Architecture(_backbone(weights, source), tasks, auxiliary_tasks)


def _channels(
    weights: Mapping[str, Tensor], pattern: re.Pattern[str], source: str
) -> dict[str, int]:
    channels = {}
    for name, value in weights.items():
        if match := pattern.fullmatch(name):
            if value.ndim != 4 or not 0 < value.shape[0] <= _MAX_CHANNELS:
                raise ModelError(
                    f"{source}: {name} has the impossible shape {tuple(value.shape)}."
                )
            channels[match[1]] = value.shape[0]
    return channels


def _backbone(weights: Mapping[str, Tensor], source: str) -> str:
    if "backbone._conv_stem.weight" in weights:
        return "efficientnet_lite0"
    finest = weights.get("backbone.transition1.0.0.weight")
    width = None if finest is None or finest.ndim != 4 else finest.shape[0]
    for name, config in CONFIGS.items():
        if config.width == width:
            return name
    widths = ", ".join(str(config.width) for config in CONFIGS.values())
    raise ModelError(
        f"{source} has a backbone that is not known here: the width of its finest HRNet branch is "
        f"{width or 'not found'}; known are {widths} and EfficientNet-Lite0."
    )
