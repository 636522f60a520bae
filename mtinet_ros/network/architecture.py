# SPDX-License-Identifier: Apache-2.0
"""The architecture of a network, recognised from the names and shapes of its weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network.backbones.registry import BACKBONES
from mtinet_ros.network.build import build_network
from mtinet_ros.network.multi_task_network import MultiTaskNetwork

Shapes = Mapping[str, tuple[int, ...]]

# The last layer of a task's prediction, by architecture.
_MTI_NET_HEAD = re.compile(r"heads\.(\w+)\.last_layer\.3\.(?:weight|bias)")
_PAD_NET_HEAD = re.compile(r"heads\.(\w+)\.2\.(?:weight|bias)")
_BASELINE_HEAD = re.compile(r"decoders\.(\w+)\.(?:last_layer\.3|4)\.(?:weight|bias)")
_SINGLE_HEAD = re.compile(r"(decoder)\.(?:last_layer\.3|4)\.(?:weight|bias)")
_INITIAL = re.compile(r"scale_[0-3]\.decoders\.(\w+)\.(?:weight|bias)")

LANDMARK = re.compile(
    r"(?:heads|decoders)\.\w+\.last_layer\.3\.weight|decoder\.last_layer\.3\.weight"
    r"|(?:decoders\.\w+|decoder)\.0\.convs\.0\.0\.weight"  # of a DeepLab head
    r"|heads\.\w+\.1\.conv3\.weight"  # of PAD-Net
)
"""Matches a parameter's name that every network here has and none from elsewhere."""

# A single task's weights do not name it; where channels do not either, see `_single_task`.
_TASK_BY_CHANNELS = {3: "normals", 7: "human_parts"}


def recognize(weights: Mapping[str, Tensor], source: str) -> MultiTaskNetwork:
    """Build the network that has these weights; it keeps its own, fresh ones.

    Args:
        weights: A state dict with the names of parameters of a network here.
        source: File of the weights, for messages.

    Raises:
        ModelError: The weights are of no network known here, or of one that cannot be built.
    """
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    arguments = _arguments(shapes, source)
    try:
        return build_network(backbone=_closest_backbone(shapes, source), **arguments)
    except ConfigurationError as error:
        raise ModelError(f"{source} is of a network that cannot be built: {error}") from error


def _arguments(shapes: Shapes, source: str) -> dict[str, Any]:
    """Arguments of `build_network`, but for the backbone."""
    initial = _output_channels(shapes, _INITIAL)
    if tasks := _output_channels(shapes, _BASELINE_HEAD):
        return {"architecture": "multi_task_baseline", "tasks": tasks}
    if decoder := _output_channels(shapes, _SINGLE_HEAD):
        return {"architecture": "single_task", "tasks": _single_task(decoder["decoder"], source)}
    if initial and (tasks := _output_channels(shapes, _MTI_NET_HEAD)):
        multi_scale = _has(shapes, "scale_3.")
        return {
            "tasks": tasks,
            "auxiliary_tasks": initial,
            # What would have no weights does nothing, so that it may as well be there.
            "feature_propagation": _has(shapes, "fpm_scale_") or not multi_scale,
            "distillation": _has(shapes, "distillation_scale_") or len(initial) == 1,
            "multi_scale": multi_scale,
        }
    if initial and (tasks := _output_channels(shapes, _PAD_NET_HEAD)):
        return {"architecture": "pad_net", "tasks": tasks, "auxiliary_tasks": initial}
    raise ModelError(
        f"{source} holds no MTI-Net and no network that it is compared with: among its "
        f"{len(shapes)} weights (first: {', '.join(list(shapes)[:3])}) there is no "
        "'heads.<task>.last_layer.3.weight' with a 'scale_0.decoders.<task>.weight', and no "
        "'decoder.last_layer.3.weight' or 'decoders.<task>.last_layer.3.weight'"
    )


def _single_task(channels: int, source: str) -> dict[str, int]:
    """The task of a head with so many channels, as the paper's tasks have them."""
    if channels == 1:
        raise ModelError(
            f"{source} is of a network for one task with one channel, which may be depth, edge or "
            "sal; its weights do not tell which: name the weights decoders.depth.* instead of "
            "decoder.* for depth"
        )
    return {_TASK_BY_CHANNELS.get(channels, "semseg"): channels}


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)


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
