# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a graph in reduced precision, against the float32 graph's outputs on images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.export.verification import Arrays, angle_deg

# Beyond these an export is refused. Labels: 97 of 100 pixels as float32 has them, and classes
# overlapping by 90 %; depth off by 3 %, normals by 2°, confidence by 0.03 on average: a fraction
# of what a trained network itself errs by.
LIMITS: dict[str, float] = {
    "label_agreement": 0.97,
    "miou": 0.90,
    "depth_abs_rel": 0.03,
    "normals_mean_deg": 2.0,
    "confidence_mean": 0.03,
}
_AT_LEAST = ("label_agreement", "miou")


def measure_accuracy(reference: Arrays, actual: Arrays) -> dict[str, float]:
    """Compare two sets of contract outputs.

    Args:
        reference: Outputs of the float32 graph, by name.
        actual: Outputs of the other graph for the same images.

    Returns:
        Those whose output exists: `label_agreement` share of pixels; `miou` mean intersection over
        union of the classes that occur; `depth_abs_rel` mean |difference| / |depth|;
        `normals_mean_deg` mean angle; `confidence_mean` mean |difference| of the probability.
    """
    measures = {}
    if "labels" in reference:
        measures["label_agreement"] = float((reference["labels"] == actual["labels"]).mean())
        measures["miou"] = _mean_iou(reference["labels"], actual["labels"])
    if "depth" in reference:
        depth = reference["depth"]
        relative = np.abs(actual["depth"] - depth) / np.maximum(np.abs(depth), 1e-3)
        measures["depth_abs_rel"] = float(relative.mean())
    if "normals" in reference:
        angle = angle_deg(reference["normals"], actual["normals"])
        measures["normals_mean_deg"] = float(angle.mean())
    if "confidence" in reference and "confidence" in actual:
        first, second = (arrays["confidence"].astype(np.int16) for arrays in (reference, actual))
        measures["confidence_mean"] = float(np.abs(first - second).mean()) / 255.0
    return measures


def excess(measures: Mapping[str, float]) -> float:
    """The worst measure as a multiple of its limit: up to 1 is allowed; infinite for NaN."""
    shares = [
        (1.0 - value) / (1.0 - LIMITS[name]) if name in _AT_LEAST else value / LIMITS[name]
        for name, value in measures.items()
    ]
    return float("inf") if not np.isfinite(shares).all() else max(shares)


def describe_excess(measures: Mapping[str, float]) -> str:
    """The measures beyond their limits, as a phrase; empty if there are none."""
    return "; ".join(
        f"{name} is {value:.4g}, the limit {LIMITS[name]:g}"
        for name, value in measures.items()
        if not (value >= LIMITS[name] if name in _AT_LEAST else value <= LIMITS[name])
    )


def _mean_iou(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    counts = np.bincount(a.ravel().astype(np.int64) * 256 + b.ravel(), minlength=65536)
    matrix = counts.reshape(256, 256)
    intersection = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - intersection
    return float((intersection[union > 0] / union[union > 0]).mean())
