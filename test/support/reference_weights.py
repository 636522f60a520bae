# SPDX-License-Identifier: Apache-2.0
"""Weights by name, a fixed input, and a comparison with what the authors' network answers to them.

The JSON file beside the arrays lists every parameter with its shape and summaries (moments and
probes) of intermediate results; the NPZ file holds whole outputs. Float noise between machines is
below 6e-6 of a standard deviation, the mildest real mistake in the architecture above 8e-3.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parent.parent / "data"
REFERENCE = "mtinet_A_official_order_v2"
TOLERANCE = 2e-4  # of the standard deviation of the array compared


def load_reference() -> dict[str, Any]:
    return json.loads((DATA / f"{REFERENCE}.json").read_text())


def load_reference_arrays() -> dict[str, np.ndarray]:
    with np.load(DATA / f"{REFERENCE}.npz") as arrays:
        return dict(arrays)


def _fill(key: str, shape: tuple[int, ...], batch_norm: bool) -> np.ndarray:
    """Noise seeded by the entry's name, scaled so that signals stay of order 1."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    random = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    noise = random.standard_normal(size=shape)
    if key.endswith("running_var"):
        value = np.abs(noise * 0.05) + 0.5
    elif len(shape) >= 2:
        value = noise * (0.65 / np.sqrt(np.prod(shape[1:])))
    elif batch_norm and key.endswith(".weight"):
        value = 1.0 + 0.05 * noise
    else:
        value = noise * 0.05
    return np.asarray(value, np.float32)


def fill(network: nn.Module) -> nn.Module:
    """Give every parameter its reference value and switch to evaluation."""
    state = network.state_dict()
    filled = {
        key: _fill(key, tuple(value.shape), f"{key.rpartition('.')[0]}.running_var" in state)
        for key, value in state.items()
    }
    network.load_state_dict({key: torch.from_numpy(value) for key, value in filled.items()})
    return network.eval()


def reference_image() -> torch.Tensor:
    noise = np.random.RandomState(0).standard_normal(size=(1, 3, 256, 320))
    return torch.from_numpy(noise.astype(np.float32))


def deviation_from_summary(summary: dict[str, Any], array: np.ndarray) -> float:
    """Largest difference of mean, deviation and probes, in the reference's deviations."""
    assert list(array.shape) == summary["shape"]
    values = array.astype(np.float64)
    differences = [values.mean() - summary["mean"], values.std() - summary["std"]]
    differences += list(values.reshape(-1)[summary["probe_pos"]] - summary["probe"])
    return float(np.abs(differences).max() / summary["std"])
