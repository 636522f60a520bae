# SPDX-License-Identifier: Apache-2.0
"""Our own checkpoint files: safetensors whose metadata name the architecture."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network.mtinet import MTINet

ARCHITECTURE_KEY = "mtinet_ros.architecture"


def save_checkpoint(path: str | Path, model: MTINet, **metadata: str) -> None:
    """Write weights and architecture to one safetensors file, replacing it in one step.

    Args:
        path: Target file; its folder must exist.
        model: The network; its weights are stored in float32 as they are.
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
    """The text entries of a checkpoint's header.

    Raises:
        ModelError: The file is missing or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as a safetensors checkpoint: {error}.") from error


def load_checkpoint(path: str | Path) -> MTINet:
    """Build the network a checkpoint describes and give it the weights; in evaluation mode.

    Raises:
        ModelError: The file is missing, is no checkpoint of this package, or its weights do not
            fit the architecture it names.
    """
    description = read_metadata(path).get(ARCHITECTURE_KEY)
    if description is None:
        raise ModelError(
            f"{path} does not say which architecture its weights are for (no {ARCHITECTURE_KEY!r} "
            "in its metadata): give a file written by save_checkpoint."
        )
    try:
        model = MTINet(**json.loads(description))
    except (ValueError, TypeError, ConfigurationError) as error:
        raise ModelError(f"{path} names an architecture that cannot be built: {error}") from error
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    load_weights(model, state, str(path))
    return model.eval()


def load_weights(model: MTINet, state: dict[str, torch.Tensor], source: str) -> None:
    """Give a network exactly these weights.

    Raises:
        ModelError: Names or shapes differ; the message lists up to ten of each kind.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
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
    model.load_state_dict(state)


def _list_differences(differences: dict[str, list[str]], limit: int = 10) -> str:
    sentences = []
    for kind, entries in differences.items():
        if entries:
            more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
            sentences.append(f"{kind.capitalize()}: {', '.join(entries[:limit])}{more}.")
    return " ".join(sentences)
