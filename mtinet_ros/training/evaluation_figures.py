# SPDX-License-Identifier: Apache-2.0
"""What the figures of a report are called, how they are written, and which way is better."""

from __future__ import annotations

import math

_NAMES = {
    "miou": "mIoU, absent classes count 0",
    "miou_present": "mIoU of classes that occur",
    "accuracy": "pixel accuracy",
    "ece": "expected calibration error",
    "rmse": "rmse",
    "rmse_per_image": "rmse, mean over images",
    "abs_rel": "abs_rel",
    "log_rmse": "log rmse",
    "delta1": "delta1 (below 1.25)",
    "delta2": "delta2 (below 1.25²)",
    "delta3": "delta3 (below 1.25³)",
    "coverage": "coverage",
    "mean": "mean",
    "median": "median",
    "below_11": "below 11.25°",
    "below_22": "below 22.5°",
    "below_30": "below 30°",
    "maxf": "maxF",
    "maxf_weighted": "maxF, β² = 0.3",
    "odsf": "odsF",
    "precision": "precision there",
    "recall": "recall there",
    "threshold": "at the threshold",
    "flicker": "flicker of labels",
    "depth_jitter": "jitter of depth",
}
_ERRORS = frozenset(
    {
        "rmse", "rmse_per_image", "abs_rel", "log_rmse", "mean", "median", "flicker",
        "depth_jitter", "ece",
    }
)  # fmt: skip
_TASKS = {"semseg": "labels", "depth_aligned": "depth, scaled", "depth": "depth",
          "normals": "normals", "human_parts": "human parts", "sal": "saliency",
          "edge": "edges"}  # fmt: skip
_UNRANKED = ("coverage", "threshold")


def split_key(key: str) -> tuple[str, str]:
    """Task and figure of a key of `Report.metrics`; no task for those of camera paths.

    >>> split_key("depth_aligned_delta1"), split_key("flicker"), split_key("depth_jitter")
    (('depth_aligned', 'delta1'), ('', 'flicker'), ('', 'depth_jitter'))
    """
    if key not in _NAMES:
        for task in _TASKS:  # the longer name before the shorter one that begins it
            if key.startswith(f"{task}_"):
                return task, key.removeprefix(f"{task}_")
    return "", key


def figure_name(key: str) -> str:
    """A key of `Report.metrics` for people.

    >>> figure_name("depth_rmse"), figure_name("normals_below_11"), figure_name("flicker")
    ('depth: rmse [m]', 'normals: below 11.25°', 'flicker of labels')
    """
    task, figure = split_key(key)
    name = short_name(figure, task) + unit(task, figure)
    return f"{_TASKS[task]}: {name}" if task else name


def unit(task: str, figure: str) -> str:
    """The unit of a figure in brackets, after a space; empty for a share or a ratio."""
    if task == "normals" and figure in ("mean", "median", "rmse"):
        return " [°]"
    return " [m]" if task.startswith("depth") and figure in ("rmse", "rmse_per_image") else ""


def short_name(figure: str, task: str = "") -> str:
    """A figure without its task for people."""
    if task == "sal" and figure == "miou":
        return "IoU, mean over images"
    return _NAMES.get(figure, figure)


def is_error(key: str) -> bool:
    """Whether less is better.

    >>> is_error("depth_rmse"), is_error("semseg_miou"), is_error("normals_below_30")
    (True, False, False)
    """
    return split_key(key)[1] in _ERRORS


def is_ranked(key: str) -> bool:
    """Whether a model can be better than another by this figure.

    >>> is_ranked("edge_odsf"), is_ranked("edge_threshold")
    (True, False)
    """
    return split_key(key)[1] not in _UNRANKED


def number(value: float | None) -> str:
    """A figure for people; a dash for none.

    >>> number(0.41236), number(23.4567), number(None)
    ('0.4124', '23.46', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.1234), percent(0.00001), percent(0.0)
    ('12.3 %', '<0.1 %', '0 %')
    """
    if share == 0:
        return "0 %"
    return "<0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
