# SPDX-License-Identifier: Apache-2.0
"""From a file to a network and back: our own checkpoints and those of the authors' code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network.mtinet import MTINet
from mtinet_ros.network.recognition import Architecture, recognise
from mtinet_ros.network.weights_file import read_weights

ARCHITECTURE_KEY = "mtinet_ros.architecture"


def save_checkpoint(path: str | Path, model: MTINet, **metadata: str) -> None:
    """Write weights and architecture to one safetensors file, replacing it in one step.

    Args:
        path: Target file; its folder must exist.
        model: The network; its weights are stored as they are.
        **metadata: Further text entries for the file's header (e.g. a model card as JSON).
    """
    path = Path(path)
    architecture = {
        "backbone": model.backbone_name,
        "tasks": model.tasks,
        "auxiliary_tasks": model.auxiliary_tasks,
    }
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(save(tensors, {ARCHITECTURE_KEY: json.dumps(architecture), **metadata}))
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text entries of a safetensors file's header.

    Raises:
        ModelError: The file is missing or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as a safetensors checkpoint: {error}.") from error


def load_checkpoint(path: str | Path) -> MTINet:
    """Build the network that a file holds the weights of; in evaluation mode.

    Takes files of `save_checkpoint`, and MTI-Nets saved by PyTorch or safetensors anywhere else:
    with the prefix "module." of parallel training or without, nested under "model" or bare.

    Raises:
        ModelError: The file cannot be read, or does not hold exactly the weights of an MTI-Net.
    """
    weights, metadata = read_weights(path)
    if ARCHITECTURE_KEY in metadata:
        try:
            architecture = Architecture(**json.loads(metadata[ARCHITECTURE_KEY]))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path} names an unreadable architecture: {error}.") from error
    else:
        architecture = recognise(weights, str(path))
    try:
        with torch.device("meta"):
            sketch = MTINet(**vars(architecture))
        check_weights(sketch, weights, str(path))
        model = MTINet(**vars(architecture))
    except ConfigurationError as error:
        raise ModelError(f"{path} holds a network that cannot be built: {error}") from error
    model.load_state_dict(weights)
    return model.eval()


def check_weights(model: MTINet, weights: Mapping[str, Tensor], source: str) -> None:
    """Compare names and shapes of weights with a network's.

    Raises:
        ModelError: They differ; the message lists up to ten of each kind of difference.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    differences = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "of another shape": [
            f"{key} {given[key]} instead of {own[key]}"
            for key in own
            if key in given and given[key] != own[key]
        ],
    }
    if any(differences.values()):
        raise ModelError(f"{source} does not fit the network. {_list_differences(differences)}")


def _list_differences(differences: dict[str, list[str]], limit: int = 10) -> str:
    sentences = []
    for kind, entries in differences.items():
        if entries:
            more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
            sentences.append(f"{kind.capitalize()}: {', '.join(entries[:limit])}{more}.")
    return " ".join(sentences)
