# SPDX-License-Identifier: Apache-2.0
"""Tensors and metadata of a weights file from anywhere; no code in it is ever run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mtinet_ros.errors import ModelError
from mtinet_ros.file_kinds import mistaken_kind
from mtinet_ros.network.state_dicts import Choice, choose, find_state_dicts, largest_mapping
from mtinet_ros.output_files import file_errors

HEADER_KEY = "mtinet_ros.header"
"""Entry of a PyTorch file for what the header of a safetensors file says: text by name."""

# The length of a safetensors header, in eight bytes; the format allows no longer one.
_HEADER_LIMIT = 100_000_000
# Says whose state a Lightning checkpoint is; see `mtinet_ros.training.callbacks`.
_TRAINER_CALLBACK = "AveragedWeights"


class _Setting:
    """Stands for a setting of a training script: whatever it was made of is dropped."""

    def __new__(cls, *_: object) -> _Setting:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _dict_of_settings(*_: object) -> OrderedDict[Any, Any]:
    return OrderedDict()


# Training scripts also store metrics, which are NumPy scalars; to rebuild one runs no code.
_rebuild_scalar: Any = np.float64(0.0).__reduce__()[0]
_SAFE_GLOBALS: list[Any] = [
    (_rebuild_scalar, f"numpy.{core}.multiarray.scalar")
    for core in ("core", "_core")  # NumPy 1 and 2 call the same function so
] + [np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?"))]
# And their settings. These names are not imported: something inert stands in for each.
_SAFE_GLOBALS += [
    (_Setting, name)
    for name in (
        "argparse.Namespace",
        *(
            f"{module}.{name}"  # what a defaultdict makes
            for module in ("builtins", "__builtin__")
            for name in ("list", "dict", "int", "float", "str")
        ),
        "types.SimpleNamespace",
        "typing.Any",
        *(
            f"{module}.{name}"
            for module in ("pathlib", "pathlib._local")
            for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
        ),
        *(f"datetime.{name}" for name in ("datetime", "date", "timedelta", "timezone")),
        *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
        "numpy.ndarray",
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata")),
        *(
            f"omegaconf.nodes.{kind}Node"
            for kind in ("Any", "Boolean", "Float", "Integer", "Path", "String")
        ),
    )
]
_SAFE_GLOBALS += [(_dict_of_settings, "collections.defaultdict")]
_SAFE_GLOBALS += [
    (OrderedDict, name)
    for name in (
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "yacs.config.CfgNode",
    )
]


@dataclass(frozen=True)
class Weights:
    """The weights of one network in a file.

    Attributes:
        tensors: By their names in the network, in the precision of the file.
        header: What the file says of itself, text by name; None in the state of a run of `mtinet
            train` of an earlier version, which should say more than it does.
        note: Which of several state dicts this is, and what was left out; empty if there is
            nothing to say.
    """

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str] | None
    note: str = ""


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text entries in the header of a safetensors file; none in a file of another kind.

    Raises:
        ModelError: The file is missing or damaged.
    """
    path = Path(path)
    return _read_safetensors(path, tensors=False)[1] if _is_safetensors(path) else {}


def read_weights(
    path: str | Path, landmark: re.Pattern[str], choice: Choice | None = None
) -> Weights:
    """The weights of a network in a `.safetensors` or PyTorch file, by their names in the network.

    Training checkpoints may nest them under any keys, put any prefixes before their names
    (`module.`, `_orig_mod.`, `model.`, ...), and hold a moving average beside them.

    Args:
        path: The file; nothing in it is executed.
        landmark: Matches a parameter's name that the networks in question have and no others.
        choice: Averaged weights or those in training; None: averaged ones if there are any.

    Returns:
        The weights, which may be none of such a network if nothing in the file is.

    Raises:
        ModelError: No such file, no weights in it, none of the wanted kind, or more than one
            network's.
    """
    path = Path(path)
    content: Any
    header: dict[str, str] | None
    if _is_safetensors(path):
        content, header = _read_safetensors(path)
    else:
        content = load_pytorch(path)
        header = _header(content)
    found = find_state_dicts(content, landmark, str(path))
    if found:
        state, note = choose(found, choice, str(path))
        tensors = dict(state.tensors)
    else:
        tensors, note = largest_mapping(content), ""
    if not tensors:
        raise ModelError(
            f"{path} holds no weights; expected is a state dict, names and tensors, alone or "
            "under a key such as 'model' or 'state_dict'"
        )
    _refuse_claims(tensors, path)
    return Weights(tensors, header, note)


def load_pytorch(path: Path) -> Any:
    """Content of a PyTorch file, on the CPU; nothing in it is executed.

    Settings of a training script come back as empty things.

    Raises:
        ModelError: The file is damaged, or needs code to be run.
    """
    _refuse_zip_bomb(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE_GLOBALS):
            warnings.simplefilter("ignore")  # about the age of the format, not about the weights
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_about_pickle(path, str(error))) from error
    except Exception as error:  # a damaged file may break torch's readers anywhere, anyhow
        reason = str(error).partition("\n")[0][:200] or "it ends too early"
        raise ModelError(f"{path} cannot be read as a PyTorch file: {reason}") from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors: eight bytes of length, then JSON; or named so.

    Raises:
        ModelError: It cannot be opened, or is of a kind that holds no weights.
    """
    advice = "give the path of a weights file (.safetensors, .pth, .pth.tar)"
    with file_errors(f"read {path}", ModelError, advice):
        with path.open("rb") as file:
            head = file.read(9)
        length = int.from_bytes(head[:8], "little")
        if head[8:] == b"{" and length <= min(path.stat().st_size - 8, _HEADER_LIMIT):
            return True
        kind = mistaken_kind(path)
    if kind is not None:
        raise ModelError(f"{path} cannot be read as weights: it {kind}")
    if path.suffix.lower() == ".onnx":
        raise ModelError(
            f"{path} is an exported model, no checkpoint; give the one that it was made from"
        )
    return path.suffix.lower() == ".safetensors" and not _is_pytorch(head)


def _is_pytorch(head: bytes) -> bool:
    """Whether a file begins as those of PyTorch do: a zip archive, or a pickle of protocol 2."""
    return head.startswith((b"PK\x03\x04", b"\x80\x02"))


def _read_safetensors(
    path: Path, tensors: bool = True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, if wanted, and header of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            names = file.keys() if tensors else ()
            content = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as a safetensors checkpoint: {error}") from error
    # Of tied weights, safetensors' `save_model` stores one and names the others in the header.
    for name, same in header.items():
        if name not in content and same in content:
            content[name] = content[same]
    return content, header


def _header(content: object) -> dict[str, str] | None:
    """What a PyTorch file says of itself under `HEADER_KEY`."""
    if not isinstance(content, Mapping):
        return {}
    header = content.get(HEADER_KEY)
    if isinstance(header, Mapping):
        return {str(name): str(text) for name, text in header.items()}
    callbacks = content.get("callbacks")
    is_of_trainer = isinstance(callbacks, Mapping) and _TRAINER_CALLBACK in callbacks
    return None if is_of_trainer else {}


def _about_pickle(path: Path, reason: str) -> str:
    """Sentence about a pickle that holds more than tensors."""
    named = re.search(r"GLOBAL (\S+)", reason)
    advice = "save `model.state_dict()` alone, best as .safetensors, where the file came from"
    if named:
        return (
            f"{path} is no plain weights file: it would have to run {named.group(1)!r} while it "
            "is read (it may hold a whole module), and nothing in a weights file is run; "
            f"{advice}"
        )
    with path.open("rb") as file:
        head = file.read(2)
    if head[:1] == b"\x80" and head[1:] > b"\x02":
        return (
            f"{path} is a pickle that PyTorch did not write, which may hold anything, a whole "
            f"module too, and nothing in a weights file is run; {advice} with `torch.save`"
        )
    return f"{path} cannot be read: it is no weights file of PyTorch, or damaged; copy it again"


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


def _refuse_claims(tensors: Mapping[str, Tensor], path: Path) -> None:
    """A view can repeat one stored number a billion times over; tied weights are stored once."""
    size = path.stat().st_size
    stored: dict[int, int] = {}
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu" or tensor.layout != torch.strided:
            raise ModelError(
                f"{path} holds {name} without its numbers, or in a layout that no network here "
                f"uses ({tensor.device.type}, {tensor.layout}); save dense tensors on the CPU"
            )
        storage = tensor.untyped_storage()
        claimed = tensor.numel() * tensor.element_size()
        if claimed > storage.nbytes():
            raise ModelError(
                f"{path} has {size} bytes, but its tensors claim more ({name} alone "
                f"{claimed}): the file is damaged or was made to fill the memory"
            )
        stored[storage.data_ptr()] = storage.nbytes()
    if sum(stored.values()) > size:
        raise ModelError(
            f"{path} has {size} bytes, but its tensors claim {sum(stored.values())}: the file is "
            "damaged or was made to fill the memory"
        )
