# SPDX-License-Identifier: Apache-2.0
"""Figures for a model card, out of the reports that `mtinet evaluate --json` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from mtinet_ros.errors import ConfigurationError

FIGURES = (
    "semseg_miou", "depth_rmse", "depth_abs_rel", "depth_delta1", "normals_mean",
    "normals_median", "flicker", "depth_jitter",
)  # fmt: skip
"""Figures of a report that are worth a line in a card."""


def read_figures(path: Path) -> dict[str, float]:
    """The number of frames of a report, and those `FIGURES` that it has.

    Raises:
        ConfigurationError: It cannot be read, or is no report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        metrics = report["metrics"]
        found = {"frames": int(report["frames"])}
        return found | {
            name: round(float(metrics[name]), 4) for name in FIGURES if name in metrics
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"{path} is no report of `mtinet evaluate --json` ({str(error) or 'nothing in it'})"
        ) from error
