# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: safetensors whose metadata name the architecture, and those of other tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network.architecture import LANDMARK, recognize
from mtinet_ros.network.build import build_network
from mtinet_ros.network.load_weights import load_weights
from mtinet_ros.network.multi_task_network import MultiTaskNetwork
from mtinet_ros.network.state_dicts import Choice
from mtinet_ros.network.weights_file import read_metadata, read_weights
from mtinet_ros.output_files import replace_file

__all__ = [
    "Checkpoint",
    "load_checkpoint",
    "load_imagenet_backbone",
    "load_weights",
    "read_checkpoint",
    "read_metadata",
    "save_checkpoint",
]

ARCHITECTURE_KEY = "mtinet_ros.architecture"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's file holds.

    Attributes:
        source: The file.
        network: The network with its weights, in evaluation mode.
        header: What the file says of itself, text by name; None where it should and does not, see
            `Weights.header`.
        note: Which of several weights these are; empty if there is nothing to say.
    """

    source: Path
    network: MultiTaskNetwork
    header: Mapping[str, str] | None
    note: str = ""

    def description(self) -> dict[str, str]:
        """The header, without which the depth of a run of ours would be taken for another's.

        Raises:
            ModelError: There is none, but should be.
        """
        if self.header is None:
            raise ModelError(
                f"{self.source} is the state of a run of `mtinet train` of an earlier version, "
                "which does not say what the network's depth output is; give the "
                "latest.safetensors beside it"
            )
        return dict(self.header)


def save_checkpoint(path: str | Path, model: MultiTaskNetwork, **metadata: str) -> None:
    """Write weights and architecture to one safetensors file, replacing it in one step.

    Args:
        path: Target file; its folder must exist.
        model: The network; its weights are stored as they are, in float32, tied ones as often as
            they have names.
        **metadata: Further text entries for the file's header (e.g. a model card as JSON).
    """
    path = Path(path)
    tensors: dict[str, torch.Tensor] = {}
    stored: set[int] = set()
    for key, value in model.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        # The format has no shared memory.
        tensors[key] = tensor.clone() if tensor.data_ptr() in stored else tensor
        stored.add(tensor.data_ptr())
    header = {ARCHITECTURE_KEY: json.dumps(model.description()), **metadata}
    replace_file(path, save(tensors, header), flush=True)


def load_checkpoint(path: str | Path, choice: Choice | None = None) -> MultiTaskNetwork:
    """The network of a checkpoint; see `read_checkpoint`."""
    return read_checkpoint(path, choice).network


def read_checkpoint(path: str | Path, choice: Choice | None = None) -> Checkpoint:
    """Build the network of a checkpoint, with its weights, in evaluation mode.

    Reads files of `save_checkpoint`, states of `mtinet train`, and any others with the names of
    weights of a network here: those of the paper's authors (`.pth.tar`), state dicts below any
    keys and prefixes, safetensors. Where a file does not name its architecture, names and shapes
    of the weights show it.

    Args:
        path: The file; nothing in it is executed.
        choice: Averaged weights or those in training; None: averaged ones if there are any.

    Raises:
        ModelError: The file is missing, damaged, no weights file, has none of the wanted weights,
            or does not fit its network; the message lists what is missing, unexpected or of
            another shape.
    """
    weights = read_weights(path, LANDMARK, choice)
    description = (weights.header or {}).get(ARCHITECTURE_KEY)
    if description is None:
        model = recognize(weights.tensors, str(path))
    else:
        try:
            model = build_network(**json.loads(description))
        except (ValueError, TypeError, ConfigurationError) as error:
            raise ModelError(
                f"{path} names an architecture that cannot be built: {error}"
            ) from error
    load_weights(model, weights.tensors, str(path))
    return Checkpoint(Path(path), model.eval(), weights.header, weights.note)


def load_imagenet_backbone(model: MultiTaskNetwork, path: str | Path) -> None:
    """Initialise the backbone from a public ImageNet file of the same layout.

    Args:
        model: Network whose backbone gets the weights.
        path: A file with the public names (HRNet's `stage2.0.branches...`, torchvision's
            `layer1.0.conv1.weight`) behind any prefix; the layers of its classifier are left out.

    Raises:
        ModelError: The file cannot be read, or is of another backbone.
    """
    weights = read_weights(path, model.backbone.landmark).tensors
    model.backbone.load_imagenet_weights(weights, str(path))
