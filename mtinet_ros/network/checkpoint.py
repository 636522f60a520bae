# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: safetensors whose metadata name the architecture, and those of other tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network.architecture import LANDMARK, recognize
from mtinet_ros.network.build import build_network
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

_BATCH_NORM_COUNTER = "num_batches_tracked"
# Layers above the feature maps in public HRNet classifiers.
_HRNET_CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
# A parameter that every HRNet has and no other network.
_HRNET_LANDMARK = re.compile(r"stage2\.0\.branches\.0\.0\.conv1\.weight")


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
    """Initialise an HRNet backbone from a public ImageNet file of the same layout.

    Args:
        model: Network whose backbone gets the weights.
        path: A file with HRNet's public names (`conv1.weight`, `stage2.0.branches...`) behind any
            prefix; the layers of its classifier are left out.

    Raises:
        ModelError: The file cannot be read, or is of another backbone.
    """
    tensors = read_weights(path, _HRNET_LANDMARK).tensors
    weights = {k: v for k, v in tensors.items() if not k.startswith(_HRNET_CLASSIFIER)}
    load_weights(model.backbone, weights, str(path))


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load a state dict that must match the network exactly.

    Counters of batch norm may be missing: old files have none, and nothing depends on them.

    Args:
        model: Network that gets the weights.
        state: Tensors by name.
        source: File of the weights, for messages.

    Raises:
        ModelError: Names or shapes differ; the message lists up to ten of each kind.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    differences = {
        "missing": [
            key for key in own if key not in given and not key.endswith(_BATCH_NORM_COUNTER)
        ],
        "unexpected": [key for key in given if key not in own],
        "of another shape": [
            f"{key} {given[key]} instead of {own[key]}"
            for key in own
            if key in given and given[key] != own[key]
        ],
    }
    if any(differences.values()):
        raise ModelError(f"{source} does not fit the network; {_list_differences(differences)}")
    model.load_state_dict(state, strict=False)


def _list_differences(differences: dict[str, list[str]], limit: int = 10) -> str:
    parts = []
    for kind, entries in differences.items():
        if entries:
            more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
            parts.append(f"{kind}: {', '.join(entries[:limit])}{more}")
    return "; ".join(parts)
