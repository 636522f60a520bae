# SPDX-License-Identifier: Apache-2.0
"""Figures of an exported model in its own card: what was measured of it, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mtinet_ros.export.onnx_graph import measurable_card, rewrite_card

FIGURES = (
    "semseg_miou", "semseg_ece", "depth_rmse", "depth_abs_rel", "depth_delta1", "normals_mean",
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
    card = measurable_card(model)
    figures = card.training.get("figures")
    kept = {key: round(float(metrics[key]), 4) for key in FIGURES if key in metrics}
    training = {
        **card.training,
        "figures": {
            **(figures if isinstance(figures, Mapping) else {}),
            name: {"split": split, "frames": frames, "precision": precision, **kept},
        },
    }
    rewrite_card(model, replace(card, training=training))
