# SPDX-License-Identifier: Apache-2.0
"""Metrics of MTI-Net's literature: a functional core under thin accumulating classes.

All are pooled over pixels of the whole set (not averages of per-image figures), at the size of the
ground truth.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from mtinet_ros.model_contract import VOID_ID

_ANGLE_BINS = 18000  # hundredths of a degree, 0..180


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pixels by true (row) and predicted (column) class.

    Args:
        predicted: Class ids 0..classes-1, any shape and integer type.
        truth: Class ids, same shape, `VOID_ID` where unknown.
        classes: Number of classes C.

    Returns:
        int64 C×C.

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 255]), 2).tolist()
    [[1, 1], [0, 0]]
    """
    known = truth != VOID_ID
    pairs = truth[known].long() * classes + predicted[known].long()
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_iou(matrix: Tensor) -> Tensor:
    """Intersection over union by class; 0 for a class that neither occurs nor is predicted.

    >>> class_iou(torch.tensor([[1, 1], [0, 0]])).tolist()
    [0.5, 0.0]
    """
    hits = matrix.diagonal().double()
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return hits / union.clamp(min=1)


class SegmentationMetric(Metric):
    """Mean IoU over all classes (an absent one counts 0) and pixel accuracy."""

    confusion: Tensor

    def __init__(self, classes: int) -> None:
        """Count over `classes` classes."""
        super().__init__()
        self.classes = classes
        self.add_state(
            "confusion", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum"
        )

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add pixels; see `confusion`."""
        self.confusion += confusion(predicted, truth, self.classes)

    def compute(self) -> dict[str, float]:
        """mIoU and accuracy, 0..1."""
        known = self.confusion.sum().clamp(min=1)
        return {
            "miou": float(class_iou(self.confusion).mean()),
            "accuracy": float(self.confusion.diagonal().sum() / known),
        }

    def iou(self) -> list[float]:
        """IoU by class."""
        return [float(value) for value in class_iou(self.confusion)]


class DepthMetric(Metric):
    """RMSE and mean absolute relative error of depth, and shares within 1.25, 1.25², 1.25³."""

    sums: Tensor
    known: Tensor

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.add_state("sums", torch.zeros(6, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("known", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add pixels; metres, any shape; truth 0 where unknown, NaN where none is predicted."""
        self.known += (truth > 0).sum()
        both = (truth > 0) & predicted.isfinite()
        depth, true = predicted[both].double().clamp(min=1e-3), truth[both].double()
        ratio = torch.maximum(depth / true, true / depth)
        self.sums += torch.stack(
            [
                torch.tensor(float(true.numel()), dtype=torch.double, device=true.device),
                ((depth - true) ** 2).sum(),
                ((depth - true).abs() / true).sum(),
                *((ratio < 1.25**power).sum().double() for power in (1, 2, 3)),
            ]
        )

    def compute(self) -> dict[str, float]:
        """rmse in metres; abs_rel, delta1..3 as shares; coverage: share of pixels predicted."""
        _, squares, relative, *within = (self.sums / self.sums[0].clamp(min=1)).tolist()
        return {
            "rmse": math.sqrt(squares),
            "abs_rel": relative,
            **{f"delta{power}": share for power, share in enumerate(within, 1)},
            "coverage": float(self.sums[0] / self.known.clamp(min=1)),
        }


class NormalMetric(Metric):
    """Angle between predicted and true normals: mean, median, root mean square, shares below.

    The authors' published "rmse" of normals is their mean; here it is the root mean square.
    """

    sums: Tensor
    histogram: Tensor

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.add_state("sums", torch.zeros(6, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state(
            "histogram", torch.zeros(_ANGLE_BINS, dtype=torch.long), dist_reduce_fx="sum"
        )

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add pixels; [..., 3], any length but zero; truth zero where unknown."""
        known = (truth != 0).any(-1)
        a, b = predicted[known].double(), truth[known].double()
        # atan2 keeps precision at small angles, where acos of a cosine has none.
        sine = torch.linalg.vector_norm(torch.linalg.cross(a, b), dim=-1)
        angle = torch.rad2deg(torch.atan2(sine, (a * b).sum(-1)))
        bins = (angle * (_ANGLE_BINS / 180)).long().clamp(max=_ANGLE_BINS - 1)
        self.histogram += torch.bincount(bins, minlength=_ANGLE_BINS)
        self.sums += torch.stack(
            [
                torch.tensor(float(angle.numel()), dtype=torch.double, device=angle.device),
                angle.sum(),
                (angle**2).sum(),
                *((angle < limit).sum().double() for limit in (11.25, 22.5, 30.0)),
            ]
        )

    def compute(self) -> dict[str, float]:
        """Mean, median (to 0.01) and rmse in degrees; shares below 11.25, 22.5 and 30 degrees."""
        _, mean, square, *below = (self.sums / self.sums[0].clamp(min=1)).tolist()
        cumulated = self.histogram.cumsum(0)
        middle = int(torch.searchsorted(cumulated, (cumulated[-1] + 1) // 2))
        shares = dict(zip(("below_11", "below_22", "below_30"), below, strict=True))
        return {
            "mean": mean,
            "median": (middle + 0.5) * 180 / _ANGLE_BINS if cumulated[-1] else 0.0,
            "rmse": math.sqrt(square),
            **shares,
        }


def multi_task_performance(
    multi: dict[str, float], single: dict[str, float], lower_is_better: dict[str, bool]
) -> float:
    """Δm: mean relative gain over single-task models (paper, Eq. 3), in percent.

    Args:
        multi: The multi-task model's figure by task.
        single: The single-task models' figures.
        lower_is_better: Whether a task's figure is an error.

    >>> round(multi_task_performance({"a": 0.6, "b": 9.0}, {"a": 0.5, "b": 10.0},
    ...     {"a": False, "b": True}), 6)
    15.0
    """
    gains = [
        (-1 if lower_is_better[task] else 1) * (multi[task] - single[task]) / single[task]
        for task in multi
    ]
    return 100 * sum(gains) / len(gains)
