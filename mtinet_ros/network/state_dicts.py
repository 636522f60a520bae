# SPDX-License-Identifier: Apache-2.0
"""State dicts inside a checkpoint: where they are, which is averaged, names without wrappers.

Training scripts put weights anywhere: under `model_state_dict` or `state_dict`, twice with an
exponential moving average (EMA) beside them, below the attributes of the module that trains, and
in the wrappers of data-parallel training, torch.compile and averaging. A network is recognized by
a name that only it has, its landmark; what stands before that name is prefix.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mtinet_ros.errors import ModelError

Choice = Literal["ema", "model"]
"""Which weights of a checkpoint to take: averaged ones, or those that were in training."""

CHOICES: tuple[Choice, ...] = ("ema", "model")

# Modules that wrap another one and add a component to each of its names, wherever they stand:
# DataParallel and AveragedModel, torch.compile, FSDP, activation checkpointing, Fabric.
_WRAPPERS = frozenset(
    {
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
    }
)
# Containers of the weights that a script goes on with, as opposed to those of "best_state_dict".
_USUAL_CONTAINERS = frozenset(
    {"model", "state_dict", "model_state_dict", "model_state", "net", "network", "checkpoint"}
    | {"module", "weights", "params"}
)
_AVERAGED = re.compile(
    r"(?:^|_)(?:ema|swa|avg|average|averaged|averaging|polyak|shadow)(?:_|$)", re.IGNORECASE
)
_IN_TRAINING = re.compile(r"(?:^|_)(?:online|current|raw)(?:_|$)", re.IGNORECASE)
# Key of `torch.optim.swa_utils.AveragedModel` for the number of steps that it averaged.
_AVERAGED_STEPS = "n_averaged"
# Far more than any training state nests or holds: what is deeper was made to keep a reader busy.
_MAX_DEPTH, _MAX_CONTAINERS = 8, 200_000


@dataclass(frozen=True)
class StateDict:
    """The weights of one network in a file.

    Attributes:
        place: Keys and prefix that lead to it, for messages; empty if it is all of the file.
        tensors: The weights by their names in the network.
        averaged: Whether the file calls them averaged (EMA, SWA).
        steps: Number of steps that were averaged; None: not said.
        usual: Whether it stands where scripts usually put a network's weights.
        left_out: Names of tensors beside them that belong to no network found.
    """

    place: str
    tensors: Mapping[str, Tensor]
    averaged: bool = False
    steps: int | None = None
    usual: bool = True
    left_out: tuple[str, ...] = ()


def find_state_dicts(content: object, landmark: re.Pattern[str], source: str) -> list[StateDict]:
    """All networks of one kind in the content of a checkpoint.

    Args:
        content: What the file holds: a mapping from names to tensors, or a nesting of such.
        landmark: Matches, whole, a parameter's name that each of these networks has once or more.
        source: The file, for messages.

    Raises:
        ModelError: Without its wrappers a name occurs twice, with different tensors.
    """
    found = []
    for path, mapping, parent in _mappings(content):
        names = {name: _without_wrappers(name) for name in _tensors(mapping)}
        prefixes = _prefixes(names.values(), landmark)
        if not prefixes:
            continue  # e.g. the state of an optimizer
        tensors = _renamed(mapping, names, source)
        by_prefix: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in prefixes}
        outside = []
        for name, tensor in tensors.items():
            # Of several that fit, the longest: a copy may be an attribute of what it copies.
            prefix = next((p for p in prefixes if name.startswith(p)), None)
            if name.rpartition(".")[2] == _AVERAGED_STEPS:
                continue
            if prefix is None:
                outside.append(name)
            else:
                by_prefix[prefix][name.removeprefix(prefix)] = tensor
        for prefix, weights in by_prefix.items():
            steps = _averaged_steps(path, prefix, tensors, parent)
            found.append(
                StateDict(
                    place=": ".join(filter(None, ("/".join(path), prefix))),
                    tensors=weights,
                    averaged=steps is not None or _is_averaged((*path, *prefix.split("."))),
                    steps=steps,
                    usual=all(key in _USUAL_CONTAINERS for key in path),
                    left_out=tuple(outside),
                )
            )
    return found


def choose(found: list[StateDict], choice: Choice | None, source: str) -> tuple[StateDict, str]:
    """The state dict to take, and a sentence about it.

    Args:
        found: At least one.
        choice: Averaged weights, or those in training; None: averaged ones if there are any that
            averaged something, since they are what a run is for.
        source: The file, for messages.

    Returns:
        The state dict, and what was chosen from what; empty where there was nothing to choose.

    Raises:
        ModelError: There are none of this kind, or several.
    """
    averaged = [state for state in found if state.averaged]
    in_training = [state for state in found if not state.averaged]
    if choice is None:
        started = [state for state in averaged if state.steps != 0]
        pool = started or in_training or averaged
    else:
        pool = averaged if choice == "ema" else in_training
    if not pool:
        wanted = "averaged weights" if choice == "ema" else "weights that are not averaged"
        other = "model" if choice == "ema" else "ema"
        raise ModelError(
            f"{source} names no {wanted}; it holds {_places(found)}, which `--weights {other}` "
            "takes"
        )
    taken = _only(pool, source)
    others = in_training if taken.averaged else averaged
    sentences = []
    if taken.averaged:
        steps = "" if taken.steps is None else f" over {taken.steps} steps"
        sentence = f"averaged weights{steps} are taken ({_place(taken)})"
        if others:
            sentence += f"; --weights model takes those in training ({_places(others)})"
        sentences.append(sentence)
    elif others:
        never = ", which average no step yet" if all(s.steps == 0 for s in others) else ""
        sentences.append(
            f"the weights in training are taken ({_place(taken)}); --weights ema takes the "
            f"averaged ones ({_places(others)}){never}"
        )
    elif len(found) > 1:
        sentences.append(f"of {_places(found)}, the weights of {_place(taken)} are taken")
    if taken.left_out:
        some = ", ".join(taken.left_out[:3]) + (", ..." if len(taken.left_out) > 3 else "")
        sentences.append(
            f"{len(taken.left_out)} tensors outside the network are left out ({some})"
        )
    return taken, "; ".join(sentences)


def largest_mapping(content: object) -> dict[str, Tensor]:
    """The tensors of that mapping in a checkpoint that has most of them; empty if none has any."""
    candidates = (_tensors(mapping) for _, mapping, _ in _mappings(content))
    return max(candidates, key=len, default={})


def _mappings(
    content: object,
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any], Mapping[Any, Any]]]:
    """Path, content and parent of each mapping inside, outermost first."""
    waiting: deque[tuple[tuple[str, ...], object, Mapping[Any, Any]]] = deque([((), content, {})])
    for _ in range(_MAX_CONTAINERS):
        if not waiting:
            return
        path, container, parent = waiting.popleft()
        entries: Iterable[tuple[Any, Any]] = ()
        below: Mapping[Any, Any] = {}
        if isinstance(container, Mapping):
            yield path, container, parent
            entries, below = container.items(), container
        elif isinstance(container, (list, tuple)):
            entries = enumerate(container)
        if len(path) < _MAX_DEPTH:
            waiting.extend(
                ((*path, str(key)), value, below)
                for key, value in entries
                if isinstance(value, (Mapping, list, tuple)) and value
            )


def _tensors(mapping: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        key: value
        for key, value in mapping.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _renamed(
    mapping: Mapping[Any, Any], names: Mapping[str, str], source: str
) -> dict[str, Tensor]:
    """Tensors by their new names, each of which must stay one tensor's."""
    tensors: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for name, short in names.items():
        if short not in tensors:
            tensors[short], origin[short] = mapping[name], name
        elif short != _AVERAGED_STEPS and not _same(tensors[short], mapping[name]):
            raise ModelError(
                f"{source} holds {short} twice and with different numbers, as {origin[short]} and "
                f"as {name}; save the state dict of one network alone"
            )
    return tensors


def _prefixes(names: Iterable[str], landmark: re.Pattern[str]) -> list[str]:
    """What stands before the landmark, the longest first."""
    prefixes = set()
    for name in names:
        parts = name.split(".")
        for start in range(len(parts)):
            if landmark.fullmatch(".".join(parts[start:])):
                prefixes.add("".join(f"{part}." for part in parts[:start]))
    return sorted(prefixes, key=len, reverse=True)


def _averaged_steps(
    path: tuple[str, ...], prefix: str, tensors: Mapping[str, Tensor], parent: Mapping[Any, Any]
) -> int | None:
    """Number of averaged steps of an AveragedModel, from whichever module holds the network."""
    # Lightning's WeightAveraging: the averaged weights take the place of those in training, and
    # the other entries of the AveragedModel stand beside.
    beside = parent.get("averaging_state")
    if path[-1:] == ("state_dict",) and isinstance(beside, Mapping):
        count = beside.get(_AVERAGED_STEPS)
        return _as_int(count) or 0
    parts = prefix.split(".")[:-1]
    for length in range(len(parts), -1, -1):
        holder = "".join(f"{part}." for part in parts[:length])
        if f"{holder}{_AVERAGED_STEPS}" in tensors:
            return _as_int(tensors[f"{holder}{_AVERAGED_STEPS}"])
    return None


def _as_int(value: object) -> int | None:
    if isinstance(value, Tensor):
        return int(value) if value.numel() == 1 and value.device.type == "cpu" else None
    return value if isinstance(value, int) else None


def _is_averaged(keys: tuple[str, ...]) -> bool:
    """Whether the innermost key that says anything says averaged."""
    for key in reversed(keys):
        if _IN_TRAINING.search(key):
            return False
        if _AVERAGED.search(key):
            return True
    return False


def _only(pool: list[StateDict], source: str) -> StateDict:
    """The one of several that is meant: alone, the same as the others, or in the usual place."""
    usual = [state for state in pool if state.usual] or pool
    first, *others = usual
    different = [state for state in others if not _same_weights(first.tensors, state.tensors)]
    if different:
        raise ModelError(
            f"{source} holds several networks ({_places([first, *different])}); save the state "
            "dict of one of them alone"
        )
    return first


def _same_weights(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(_same(one[name], two[name]) for name in one)


def _same(one: Tensor, two: Tensor) -> bool:
    if one is two:
        return True
    return one.shape == two.shape and one.dtype == two.dtype and torch.equal(one, two)


def _place(state: StateDict) -> str:
    return state.place or "the file itself"


def _places(states: list[StateDict]) -> str:
    return ", ".join(_place(state) for state in states)
