# SPDX-License-Identifier: Apache-2.0
"""Weights into a network that they must fit, or a list of what is different."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mtinet_ros.errors import ModelError

_BATCH_NORM_COUNTER = "num_batches_tracked"


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
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
