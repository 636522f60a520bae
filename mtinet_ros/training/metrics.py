# SPDX-License-Identifier: Apache-2.0
"""Metrics of MTI-Net's literature: a functional core under thin accumulating classes.

All are pooled over pixels of the whole set, at the size of the ground truth, but for those that
say "per image". Saliency and edges are in files beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.training.metrics_edges import EdgeMetric
from mtinet_ros.training.metrics_saliency import SaliencyMetric

_ANGLE_BINS = 18000  # hundredths of a degree, 0..180
DISTANCES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Edges of the ranges of true depth that are told apart, metres."""


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


def miou_of_present(matrix: Tensor) -> float:
    """Mean IoU over the classes that occur in the truth; NaN if none does.

    >>> miou_of_present(torch.tensor([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))  # the third is absent
    0.5833333333333333
    """
    present = matrix.sum(1) > 0
    return float(class_iou(matrix)[present].mean())


def segmentation_figures(matrix: Tensor) -> dict[str, float]:
    """Figures from a `confusion` matrix, 0..1.

    Returns:
        `miou` over all classes, where an absent one counts 0; `miou_present` over those that occur
        in the truth; `accuracy`: the share of pixels that are right.

    >>> segmentation_figures(torch.tensor([[3, 1], [0, 0]]))
    {'miou': 0.375, 'miou_present': 0.75, 'accuracy': 0.75}
    """
    return {
        "miou": float(class_iou(matrix).mean()),
        "miou_present": miou_of_present(matrix) if matrix.any() else 0.0,
        "accuracy": float(matrix.diagonal().sum().double() / matrix.sum().clamp(min=1)),
    }


class SegmentationMetric(Metric):
    """Mean IoU over all classes (an absent one counts 0), over those that occur, and accuracy."""

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
        """See `segmentation_figures`; empty without truth, for zero would be a perfect figure."""
        return segmentation_figures(self.confusion) if self.confusion.any() else {}

    def iou(self) -> list[float]:
        """IoU by class."""
        return [float(value) for value in class_iou(self.confusion)]


class HumanPartsMetric(SegmentationMetric):
    """`SegmentationMetric` over the images that show parts of people.

    An image whose truth is background alone, or unknown alone, is left out with all that is
    predicted in it (authors' evaluation).
    """

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images: ids, [..., H, W]; see `confusion`."""
        size = truth.shape[-2:]
        images = zip(predicted.reshape(-1, *size), truth.reshape(-1, *size), strict=True)
        for seen, true in images:
            if shows_parts(true):
                super().update(seen, true)


def shows_parts(truth: Tensor) -> bool:
    """Whether an image's truth of human parts is neither all background nor all unknown.

    >>> [shows_parts(torch.tensor(ids)) for ids in ([0, 0], [255, 255], [0, 255], [0, 3])]
    [False, False, True, True]
    """
    first = truth.flatten()[0]
    return not (bool((truth == first).all()) and int(first) in (0, VOID_ID))


def depth_sums(predicted: Tensor, truth: Tensor) -> Tensor:
    """Sums of depth errors over the pixels that have both depths.

    Args:
        predicted: Metres, any shape; not finite where none is predicted; what is not above zero is
            taken for 1e-9 (authors' evaluation).
        truth: Metres, same shape; 0 where unknown.

    Returns:
        float64 [7]: pixels, squared errors, relative errors, squared errors of the natural
        logarithm, pixels within a factor of 1.25, 1.25², 1.25³.

    >>> depth_sums(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([1.0, 2.0, 0.0]))[:3].tolist()
    [2.0, 1.0, 0.5]
    """
    true, errors = _pixel_errors(predicted, truth)
    count = torch.tensor([float(true.numel())], dtype=torch.double, device=true.device)
    return torch.cat([count, errors.sum(1)])


def depth_range_sums(
    predicted: Tensor, truth: Tensor, edges: Sequence[float] = DISTANCES
) -> Tensor:
    """`depth_sums` in ranges of true depth: what sums over all pixels hide.

    Args:
        predicted: See `depth_sums`.
        truth: Likewise.
        edges: Metres, ascending, from 0 on; a range holds its upper edge.

    Returns:
        float64 [8, ranges]: pixels with truth, then as `depth_sums`. What lies beyond the last
        edge is left out.

    >>> predicted, truth = torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0])
    >>> depth_range_sums(predicted, truth, (0, 1, 5))[:3].tolist()
    [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]
    """
    limits = torch.tensor(edges, dtype=torch.double, device=truth.device)

    def ranges_of(distance: Tensor) -> Tensor:
        return torch.bucketize(distance.double(), limits)

    def by_range(ranges: Tensor, values: Tensor | None = None) -> Tensor:
        # 0 is what lies below the first edge, the last number what lies beyond the last one.
        return torch.bincount(ranges, values, minlength=len(edges) + 1)[1:-1].double()

    true, errors = _pixel_errors(predicted, truth)
    ranges = ranges_of(true)
    rows = [by_range(ranges_of(truth[truth > 0])), by_range(ranges)]
    return torch.stack([*rows, *(by_range(ranges, row) for row in errors)])


def depth_by_distance(sums: Tensor, edges: Sequence[float] = DISTANCES) -> list[dict[str, float]]:
    """Figures from `depth_range_sums`.

    Returns:
        By range: its edges `from` and `to`, its `share` of all pixels with truth, `rmse`,
        `abs_rel` and `delta1`; a range without predicted pixels has its edges and its share only.
    """
    total = float(sums[0].sum().clamp(min=1))
    ranges = []
    for number, column in enumerate(sums.T):
        share = float(column[0]) / total
        entry = {"from": edges[number], "to": edges[number + 1], "share": share}
        if column[1] > 0:
            figures = depth_figures(column[1:])
            entry |= {name: figures[name] for name in ("rmse", "abs_rel", "delta1")}
        ranges.append(entry)
    return ranges


def depth_figures(sums: Tensor) -> dict[str, float]:
    """Figures from `depth_sums`: rmse in metres; abs_rel; log_rmse; delta1..3 as shares.

    >>> depth_figures(torch.tensor([2.0, 8.0, 1.0, 0.0, 1.0, 2.0, 2.0]))["rmse"]
    2.0
    """
    _, squares, relative, logarithms, *within = (sums / sums[0].clamp(min=1)).tolist()
    return {
        "rmse": math.sqrt(squares),
        "abs_rel": relative,
        "log_rmse": math.sqrt(logarithms),
        **{f"delta{power}": share for power, share in enumerate(within, 1)},
    }


def _pixel_errors(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Of the M pixels with both depths: true depth [M], errors [6, M] in `depth_sums`' order."""
    both = (truth > 0) & predicted.isfinite()
    depth, true = predicted[both].double().clamp(min=1e-9), truth[both].double()
    ratio = torch.maximum(depth / true, true / depth)
    error = (depth - true).abs()
    within = (ratio < 1.25**power for power in (1, 2, 3))
    return true, torch.stack(
        [error**2, error / true, ratio.log() ** 2, *(share.double() for share in within)]
    )


class DepthMetric(Metric):
    """RMSE, relative and logarithmic error of depth, and shares within 1.25, 1.25², 1.25³."""

    sums: Tensor
    known: Tensor
    of_images: Tensor

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.add_state("sums", torch.zeros(7, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("known", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("of_images", torch.zeros(2, dtype=torch.double), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images, [..., H, W] or one of fewer axes.

        Metres; truth 0 where unknown, NaN where none is predicted.
        """
        size = truth.shape[-2:]
        for depth, true in zip(
            predicted.reshape(-1, *size), truth.reshape(-1, *size), strict=True
        ):
            sums = depth_sums(depth, true)
            self.known += (true > 0).sum()
            self.sums += sums
            if sums[0]:
                self.of_images[0] += 1
                self.of_images[1] += (sums[1] / sums[0]).sqrt()

    def compute(self) -> dict[str, float]:
        """`depth_figures`; `rmse_per_image`, the mean of the images' own; and coverage.

        Coverage is the share of pixels with truth that are predicted. Without a pixel that has
        both depths it is alone, and without truth there is nothing.
        """
        if not self.known:
            return {}
        if not self.sums[0]:
            return {"coverage": 0.0}
        return {
            **depth_figures(self.sums),
            "rmse_per_image": float(self.of_images[1] / self.of_images[0]),
            "coverage": float(self.sums[0] / self.known.clamp(min=1)),
        }


class NormalMetric(Metric):
    """Angle between predicted and true normals: mean, median, root mean square, shares below.

    The authors' "rmse" while training is the mean; here it is the root mean square. What they
    publish is of normals that were stored in 8 bits, which moves the mean by some 0.01 degrees.
    """

    sums: Tensor
    histogram: Tensor

    def __init__(self, axis: int = -1) -> None:
        """Start at nothing; `axis` is that of the three components."""
        super().__init__()
        self.axis = axis
        self.add_state("sums", torch.zeros(6, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state(
            "histogram", torch.zeros(_ANGLE_BINS, dtype=torch.long), dist_reduce_fx="sum"
        )

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add pixels; of any length but zero; truth zero where unknown."""
        predicted, truth = predicted.movedim(self.axis, -1), truth.movedim(self.axis, -1)
        known = (truth != 0).any(-1)
        a, b = predicted[known].double().nan_to_num(0, 0, 0), truth[known].double()
        # atan2 keeps precision at small angles, where acos of a cosine has none.
        sine = torch.linalg.vector_norm(torch.linalg.cross(a, b), dim=-1)
        angle = torch.rad2deg(torch.atan2(sine, (a * b).sum(-1)))
        angle = torch.where((a != 0).any(-1), angle, 90.0)  # without a direction: cosine 0
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
        """Mean, median (to 0.01) and rmse in degrees; shares below 11.25, 22.5 and 30 degrees.

        Empty without truth.
        """
        if not self.sums[0]:
            return {}
        _, mean, square, *below = (self.sums / self.sums[0]).tolist()
        cumulated = self.histogram.cumsum(0)
        middle = int(torch.searchsorted(cumulated, (cumulated[-1] + 1) // 2))
        shares = dict(zip(("below_11", "below_22", "below_30"), below, strict=True))
        return {
            "mean": mean,
            "median": (middle + 0.5) * 180 / _ANGLE_BINS,
            "rmse": math.sqrt(square),
            **shares,
        }


def task_metrics(tasks: Mapping[str, int]) -> nn.ModuleDict:
    """Metrics by task, each with `update(prediction, truth)`.

    They take predictions as `decode.decode` gives them, and truth as in a `loader.Batch`: with
    axes N, C where there are channels, H and W. Edges are measured at nine thresholds, which is
    quick; `mtinet evaluate` takes all.

    Args:
        tasks: Output channels by task.

    >>> sorted(task_metrics({"sal": 1, "depth": 1}))
    ['depth', 'sal']
    """
    metrics: dict[str, nn.Module] = {}
    for task, channels in tasks.items():
        if task == "semseg":
            metrics[task] = SegmentationMetric(channels)
        elif task == "human_parts":
            metrics[task] = HumanPartsMetric(channels)
        elif task == "sal":
            metrics[task] = SaliencyMetric()
        elif task == "normals":
            metrics[task] = NormalMetric(axis=1)
        elif task == "edge":
            metrics[task] = EdgeMetric(tuple(tenth / 10 for tenth in range(1, 10)))
        elif task == "depth":
            metrics[task] = DepthMetric()
    return nn.ModuleDict(metrics)


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
