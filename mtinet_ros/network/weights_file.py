# SPDX-License-Identifier: Apache-2.0
"""Reads files of weights that came from anywhere: no code in them is run, no bomb goes off."""

from __future__ import annotations

import pickle
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mtinet_ros.errors import ModelError

_WRAPPERS = ("model", "state_dict")
_PREFIX = "module."


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read named tensors, and a header's text entries, from a safetensors or PyTorch file.

    A dictionary nested under "model" or "state_dict" is unwrapped, the prefix "module." of
    parallel training is removed. Floating-point tensors come back as float32.

    Raises:
        ModelError: The file is missing or damaged, holds anything but weights, or holds code.
    """
    path = Path(path)
    try:
        if path.is_file() and not zipfile.is_zipfile(path) and _starts_like_safetensors(path):
            return _read_safetensors(path)
        return _named_tensors(path, _read_pickle(path)), {}
    except (OSError, SafetensorError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read as a file of weights: {error}.") from error


def _starts_like_safetensors(path: Path) -> bool:
    """Eight bytes of header length, then a JSON object."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _named_tensors(path, tensors), dict(file.metadata() or {})


def _read_pickle(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        # torch.save stores without compression.
        if unpacked > path.stat().st_size:
            raise ModelError(
                f"{path} would unpack to {unpacked} bytes, more than the file holds: PyTorch does "
                "not write such files, so it is not read."
            )
    try:
        with _allow_numpy_numbers():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds other objects than tensors and numbers, which could run code; "
            "save only the state dict: torch.save(model.state_dict(), path)."
        ) from error


def _allow_numpy_numbers() -> AbstractContextManager[None]:
    """Training scripts store their best scores beside the weights, often as NumPy scalars."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = (np.float64, np.float32, np.int64)
    return torch.serialization.safe_globals(
        [
            (scalar, "numpy.core.multiarray.scalar"),
            (scalar, "numpy._core.multiarray.scalar"),
            np.dtype,
            *(type(np.dtype(kind)) for kind in kinds),
        ]
    )


def _named_tensors(path: Path, content: object) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path} holds no dictionary of named tensors.")
    weights = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{path} holds the entry {str(name)[:80]!r} that is no named tensor; give a state "
                "dict, bare or nested under 'model'."
            )
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise ModelError(
                f"{path}: the tensor {name[:80]!r} is larger than what is stored of it."
            )
        plain = value.float() if value.is_floating_point() else value
        weights[name.removeprefix(_PREFIX)] = plain
    return weights
