# SPDX-License-Identifier: Apache-2.0
"""The architecture of an MTI-Net, recognised from the names and shapes of its weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network.backbones.registry import BACKBONES
from mtinet_ros.network.mtinet import MTINet

Shapes = Mapping[str, tuple[int, ...]]

LANDMARK = re.compile(r"heads\.\w+\.last_layer\.3\.weight")
"""Matches a parameter's name that every MTI-Net has and no other network."""

_HEAD = re.compile(r"heads\.(\w+)\.last_layer\.3\.(?:weight|bias)")
_DECODER = re.compile(r"scale_[0-3]\.decoders\.(\w+)\.(?:weight|bias)")


def recognize(weights: Mapping[str, Tensor], source: str) -> MTINet:
    """Build the network that has these weights; it keeps its own, fresh ones.

    Args:
        weights: A state dict with MTI-Net's names of parameters.
        source: File of the weights, for messages.

    Raises:
        ModelError: The weights are not an MTI-Net's, or of one that cannot be built.
    """
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    tasks, auxiliary_tasks = _output_channels(shapes, _HEAD), _output_channels(shapes, _DECODER)
    if not tasks or not auxiliary_tasks:
        raise ModelError(
            f"{source} holds no MTI-Net: among its {len(shapes)} weights (first: "
            f"{', '.join(list(shapes)[:3])}) there is no 'heads.<task>.last_layer.3.weight' with "
            "a 'scale_0.decoders.<task>.weight'"
        )
    try:
        return MTINet(_closest_backbone(shapes, source), tasks, auxiliary_tasks)
    except ConfigurationError as error:
        raise ModelError(f"{source} is of a network that cannot be built: {error}") from error


def _output_channels(shapes: Shapes, pattern: re.Pattern[str]) -> dict[str, int]:
    matches = ((pattern.fullmatch(name), shape) for name, shape in shapes.items())
    return {match[1]: shape[0] for match, shape in matches if match and shape}


def _closest_backbone(shapes: Shapes, source: str) -> str:
    given = {
        (name.removeprefix("backbone."), shape)
        for name, shape in shapes.items()
        if name.startswith("backbone.")
    }
    shared = {name: len(given & _backbone_shapes(name)) for name in BACKBONES}
    closest = max(shared, key=lambda name: shared[name])
    # Half is far from chance: HRNets of different width share only the stem.
    if shared[closest] < len(_backbone_shapes(closest)) / 2:
        raise ModelError(
            f"{source} has a backbone that is none of {', '.join(BACKBONES)} (closest: {closest}, "
            f"{shared[closest]} of {len(_backbone_shapes(closest))} weights agree)"
        )
    return closest


@functools.cache
def _backbone_shapes(name: str) -> frozenset[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        state = BACKBONES[name]().state_dict()
    return frozenset((key, tuple(value.shape)) for key, value in state.items())
