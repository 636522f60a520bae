# SPDX-License-Identifier: Apache-2.0
"""Tensors and metadata of a weights file from anywhere; no code in it is ever run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mtinet_ros.errors import ModelError
from mtinet_ros.output_files import file_errors

# Keys under which training scripts put the weights, beside the optimizer's state and the epoch.
_STATE_DICT_KEYS = ("model", "state_dict")
# `torch.nn.DataParallel` puts this before every name.
_DATA_PARALLEL_PREFIX = "module."

# Training scripts also store metrics, which are NumPy scalars; to rebuild one runs no code.
_rebuild_scalar: Any = np.float64(0.0).__reduce__()[0]
_SAFE_GLOBALS: list[Any] = [
    (_rebuild_scalar, f"numpy.{core}.multiarray.scalar")
    for core in ("core", "_core")  # NumPy 1 and 2 call the same function so
] + [np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?"))]


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text entries in the header of a safetensors file; none in a file of another kind.

    Raises:
        ModelError: The file is missing or damaged.
    """
    if not _is_safetensors(Path(path)):
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as a safetensors checkpoint: {error}") from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights in a `.safetensors` or PyTorch file, as a flat dict with plain names.

    PyTorch files may hold the dict itself or a training checkpoint that nests it under `model` or
    `state_dict`; the `module.` of data-parallel training is taken off. Halves become float32.

    Raises:
        ModelError: No such file, no weights in it, or something in it that is no weight.
    """
    path = Path(path)
    if _is_safetensors(path):
        try:
            with safe_open(path, framework="pt") as file:
                content: Any = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path} cannot be read as a safetensors checkpoint: {error}"
            ) from error
    else:
        content = _read_pytorch(path)
    return _flat_weights(content, path)


def _is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors: eight bytes of length, then JSON; or named so."""
    advice = "give the path of a weights file (.safetensors, .pth, .pth.tar)"
    with file_errors(f"read {path}", ModelError, advice), path.open("rb") as file:
        head = file.read(9)
    return path.suffix == ".safetensors" or head[8:] == b"{"


def _read_pytorch(path: Path) -> Any:
    _refuse_zip_bomb(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE_GLOBALS):
            warnings.simplefilter("ignore")  # about the age of the format, not about the weights
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        culprit = f"{named.group(1)!r}" if named else "something that is no tensor"
        raise ModelError(
            f"{path} is no plain weights file: it would have to run {culprit} while it is read, "
            "and nothing in a weights file is run; save `model.state_dict()` alone, best as "
            ".safetensors, where the file came from"
        ) from error
    except Exception as error:  # a damaged file may break torch's readers anywhere, anyhow
        reason = str(error).partition("\n")[0][:200]
        raise ModelError(f"{path} cannot be read as a PyTorch file: {reason}") from error


def _refuse_zip_bomb(path: Path) -> None:
    """PyTorch stores tensors uncompressed: whatever would grow when read is no PyTorch file."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is a damaged zip archive: {error}") from error
    unpacked, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if unpacked > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelError(
            f"{path} is a compressed archive of {size} bytes that claims to unpack to {unpacked}; "
            "PyTorch never compresses its files, so this is none; unpack it if you trust it"
        )


def _flat_weights(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _STATE_DICT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise ModelError(
            f"{path} holds no weights; expected are names and tensors, either alone or under "
            f"{' or '.join(map(repr, _STATE_DICT_KEYS))}"
        )
    weights: dict[str, Tensor] = {
        str(name).removeprefix(_DATA_PARALLEL_PREFIX): value for name, value in content.items()
    }
    # A view can repeat one stored number a billion times over.
    claimed = sum(value.numel() * value.element_size() for value in weights.values())
    if claimed > path.stat().st_size:
        raise ModelError(
            f"{path} has {path.stat().st_size} bytes, but its tensors claim {claimed}: the file "
            "is damaged or was made to fill the memory"
        )
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }
