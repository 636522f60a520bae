# SPDX-License-Identifier: Apache-2.0
"""Figures of an exported model in its own card: what was measured of it, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from mtinet_ros.errors import ModelError
from mtinet_ros.export.onnx_graph import replace_card, write_model
from mtinet_ros.model_card import read_model_card

FIGURES = (
    "semseg_miou", "depth_rmse", "depth_abs_rel", "depth_delta1", "normals_mean",
    "normals_median", "flicker", "depth_jitter",
)  # fmt: skip
"""Figures of a report that are worth a line in a card."""


def record_figures(
    model: Path, name: str, split: str, frames: int, metrics: Mapping[str, float], precision: str
) -> None:
    """Put figures into a model's card; the graph stays as it is.

    Args:
        model: ONNX file with a card.
        name: What was measured on, for people; figures of that name are replaced.
        split: Which of the data.
        frames: How many.
        metrics: By the names of `mtinet evaluate`; those in `FIGURES` are kept.
        precision: What was computed in, as `Backend.precision` says it.

    Raises:
        ModelError: The file has no card, or another tool has changed its graph.
        ExportError: It cannot be written.
    """
    card = read_model_card(model)
    if card.modified:
        raise ModelError(
            f"the graph of {model} is another one than was exported; export it again, then measure"
        )
    figures = card.training.get("figures")
    kept = {key: round(float(metrics[key]), 4) for key in FIGURES if key in metrics}
    training = {
        **card.training,
        "figures": {
            **(figures if isinstance(figures, Mapping) else {}),
            name: {"split": split, "frames": frames, "precision": precision, **kept},
        },
    }
    graph = onnx.load(model)
    replace_card(graph, replace(card, training=training))
    write_model(graph, model)
