# SPDX-License-Identifier: Apache-2.0
"""Raw predictions of a network decoded to labels, metres and unit vectors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def decode(predictions: Mapping[str, Tensor], depth_output: str) -> dict[str, Tensor]:
    """Decode raw predictions.

    Args:
        predictions: Raw predictions by task, N×C×H×W.
        depth_output: Form of the raw depth, one of `model_contract.DEPTH_OUTPUTS`.

    Returns:
        By task: semseg, human_parts int64 N×H×W; depth N×1×H×W in metres for the canonical focal
        length; normals N×3×H×W of unit length; edge, sal N×1×H×W probabilities.
    """
    decoded = {}
    for task, raw in predictions.items():
        if task in ("semseg", "human_parts"):
            decoded[task] = raw.argmax(1)
        elif task == "depth":
            decoded[task] = raw.exp() if depth_output == "log_metres" else raw
        elif task == "normals":
            decoded[task] = functional.normalize(raw, dim=1, eps=1e-6)
        else:
            decoded[task] = torch.sigmoid(raw)
    return decoded
