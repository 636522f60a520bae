# SPDX-License-Identifier: Apache-2.0
"""Metrics of a whole model, measured as a user of its outputs would: at the data's own size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import HUMAN_PARTS
from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, SampleSource, Target
from mtinet_ros.training.evaluation_report import FrameFigures, Report
from mtinet_ros.training.metrics import (
    DISTANCES,
    HumanPartsMetric,
    NormalMetric,
    class_iou,
    confusion,
    depth_by_distance,
    depth_figures,
    depth_range_sums,
    miou_of_present,
    segmentation_figures,
    shows_parts,
)
from mtinet_ros.training.metrics_edges import EdgeMetric, ods_figures
from mtinet_ros.training.metrics_saliency import SaliencyMetric, saliency_rates
from mtinet_ros.training.reliability import (
    BINS,
    expected_calibration_error,
    reliability_by_bin,
    reliability_sums,
)
from mtinet_ros.training.stability import Stability, find_correspondence


@dataclass(frozen=True)
class DensePrediction:
    """Outputs of a model for one image, at the image's size; None for a task it does not have.

    Attributes:
        labels: uint8 [H, W] class ids.
        depth: float32 [H, W] along the optical axis of the image's own camera; NaN: none.
        normals: float32 [H, W, 3] unit vectors in the camera optical frame.
        depth_is_metric: Whether depth is in metres, or up to an unknown scale.
        human_parts: uint8 [H, W] ids of `class_sets.HUMAN_PARTS`.
        sal: float32 [H, W] probability that a pixel is salient.
        edge: float32 [H, W] probability of an edge.
        confidence: uint8 [H, W] of the labels, 255 = certain.
    """

    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None
    depth_is_metric: bool = True
    human_parts: NDArray[np.uint8] | None = None
    sal: NDArray[np.float32] | None = None
    edge: NDArray[np.float32] | None = None
    confidence: NDArray[np.uint8] | None = None


class DensePredictor(Protocol):
    """Anything that can be measured: a model with its preprocessing and postprocessing."""

    def __call__(self, image: NDArray[np.uint8], intrinsics: Intrinsics | None) -> DensePrediction:
        """Predict for one image.

        Args:
            image: uint8 [H, W, 3] RGB.
            intrinsics: Of the image; None: depth is for the canonical focal length.
        """
        ...


FrameObserver = Callable[[FrameFigures, Sample, DensePrediction], None]
"""Told of every frame: its figures, its truth and what was predicted."""


def evaluate(
    predictor: DensePredictor,
    source: SampleSource,
    indices: Iterable[int],
    classes: int,
    progress: Callable[[], None] = lambda: None,
    *,
    observe: FrameObserver = lambda _figures, _sample, _prediction: None,
    frame_name: Callable[[int], str] = str,
) -> Report:
    """Measure a predictor on samples, and its stability where they follow a camera path.

    Args:
        predictor: The model.
        source: The data set.
        indices: Samples to measure on; each counts once.
        classes: Number of semseg classes.
        progress: Called after every sample.
        observe: Called after every sample too.
        frame_name: What the data set calls a sample, by index.

    Returns:
        A report that does not know of which model and data it is.
    """
    totals, stability = _Totals(classes), Stability()
    predecessors = {
        index: before for video in source.videos() for before, index in pairwise(video)
    }
    previous: tuple[int, Sample, DensePrediction] | None = None
    for index in sorted(set(indices)):
        sample = source[index]
        prediction = predictor(sample.image, sample.intrinsics)
        observe(totals.update(frame_name(index), sample, prediction), sample, prediction)
        if previous is not None and predecessors.get(index) == previous[0]:
            match = find_correspondence(previous[1], sample)
            before = previous[2]
            if prediction.labels is not None and before.labels is not None:
                stability.update_labels(match, before.labels, prediction.labels)
            metric = prediction.depth_is_metric and before.depth_is_metric
            if metric and prediction.depth is not None and before.depth is not None:
                stability.update_depth(match, before.depth, prediction.depth)
        previous = (index, sample, prediction)
        progress()
    return totals.report(stability.compute())


# Other truth may be derived, and differ in its last bit.
_DIGESTED = ("semseg", "depth", "human_parts", "sal")


class _Totals:
    """Everything that is summed over frames; of a frame, only its figures stay."""

    def __init__(self, classes: int) -> None:
        self.confusion = torch.zeros(classes, classes, dtype=torch.long)
        self.reliability = np.zeros((BINS, 3))
        self.depth = torch.zeros(8, len(DISTANCES) - 1, dtype=torch.double)
        self.aligned = self.depth.clone()
        self.normals = NormalMetric()
        self.parts = HumanPartsMetric(len(HUMAN_PARTS))
        self.saliency = SaliencyMetric()
        self.edges = EdgeMetric()
        self.frames: list[FrameFigures] = []
        self._digest = hashlib.sha256()
        self._digests = {task: hashlib.sha256() for task in _DIGESTED}
        self._known: set[str] = set()

    def update(self, name: str, sample: Sample, prediction: DensePrediction) -> FrameFigures:
        """Add a frame; returns its figures."""
        for task in _DIGESTED:
            if task in sample.targets:
                content = np.ascontiguousarray(sample.targets[task]).data
                self._known.add(task)
                self._digests[task].update(content)
                if task in ("semseg", "depth"):
                    self._digest.update(content)
        figures = FrameFigures(name)
        if prediction.labels is not None and "semseg" in sample.targets:
            truth = sample.targets["semseg"]
            figures = self._add_labels(figures, prediction.labels, truth)
            if prediction.confidence is not None:
                self.reliability += reliability_sums(
                    prediction.confidence, prediction.labels, np.asarray(truth, np.uint8)
                )
        if prediction.depth is not None and "depth" in sample.targets:
            truth = sample.targets["depth"]
            figures = self._add_depth(
                figures, prediction.depth, truth, is_metric=prediction.depth_is_metric
            )
        if prediction.normals is not None and "normals" in sample.targets:
            figures = self._add_normals(figures, prediction.normals, sample.targets["normals"])
        if prediction.human_parts is not None and "human_parts" in sample.targets:
            figures = self._add_parts(
                figures, prediction.human_parts, sample.targets["human_parts"]
            )
        if prediction.sal is not None and "sal" in sample.targets:
            figures = self._add_saliency(figures, prediction.sal, sample.targets["sal"])
        if prediction.edge is not None and "edge" in sample.targets:
            figures = self._add_edges(figures, prediction.edge, sample.targets["edge"])
        self.frames.append(figures)
        return figures

    def _add_labels(
        self, figures: FrameFigures, labels: NDArray[np.uint8], truth: Target
    ) -> FrameFigures:
        matrix = confusion(_tensor(labels), _tensor(truth), len(self.confusion))
        self.confusion += matrix
        return replace(figures, miou=miou_of_present(matrix) if matrix.any() else None)

    def _add_depth(
        self, figures: FrameFigures, depth: NDArray[np.float32], truth: Target, *, is_metric: bool
    ) -> FrameFigures:
        scale = median_scale(depth, truth)
        true, predicted = _tensor(truth), _tensor(depth)
        scaled = predicted * (math.nan if scale is None else scale)
        aligned = depth_range_sums(scaled, true)
        self.aligned += aligned
        shown = depth_range_sums(predicted, true) if is_metric else aligned
        if is_metric:
            self.depth += shown
        sums = shown.sum(1)[1:]
        if scale is None or not sums[0]:
            return figures
        values = depth_figures(sums)
        return replace(
            figures,
            depth_scale=scale,
            depth_rmse=values["rmse"] if is_metric else None,
            depth_abs_rel=values["abs_rel"],
            depth_delta1=values["delta1"],
        )

    def _add_normals(
        self, figures: FrameFigures, normals: NDArray[np.float32], truth: Target
    ) -> FrameFigures:
        before = self.normals.sums.clone()
        self.normals.update(_tensor(normals), _tensor(truth))
        pixels, angles = (self.normals.sums - before)[:2].tolist()
        return replace(figures, normals_mean=angles / pixels if pixels else None)

    def _add_parts(
        self, figures: FrameFigures, parts: NDArray[np.uint8], truth: Target
    ) -> FrameFigures:
        seen, true = _tensor(parts), _tensor(truth)
        self.parts.update(seen, true)
        if not shows_parts(true):
            return figures
        return replace(
            figures, human_parts_miou=miou_of_present(confusion(seen, true, len(HUMAN_PARTS)))
        )

    def _add_saliency(
        self, figures: FrameFigures, probability: NDArray[np.float32], truth: Target
    ) -> FrameFigures:
        seen, true = _tensor(probability), _tensor(truth)
        self.saliency.update(seen, true)
        rates = saliency_rates(seen, true, (0.5,))
        return figures if rates is None else replace(figures, sal_iou=float(rates[0, 0]))

    def _add_edges(
        self, figures: FrameFigures, probability: NDArray[np.float32], truth: Target
    ) -> FrameFigures:
        before = self.edges.counts.clone()
        self.edges.update(_tensor(probability), _tensor(truth))
        counts = self.edges.counts - before
        if not counts[0, 2]:
            return figures
        return replace(figures, edge_f=ods_figures(counts, self.edges.thresholds)["odsf"])

    def report(self, stability: dict[str, float]) -> Report:
        """The figures over all frames."""
        has_labels = bool(self.confusion.any())
        has_metric_depth = bool(self.depth[1].sum() > 0)
        has_depth = bool(self.aligned[1].sum() > 0)
        metrics: dict[str, float] = {}
        if has_labels:
            metrics |= _named("semseg", segmentation_figures(self.confusion))
        has_confidence = bool(self.reliability[:, 0].any())
        if has_confidence:
            metrics["semseg_ece"] = expected_calibration_error(self.reliability)
        if has_metric_depth:
            metrics |= _named("depth", _pooled(self.depth))
            own = [f.depth_rmse for f in self.frames if f.depth_rmse is not None]
            if own:
                metrics["depth_rmse_per_image"] = sum(own) / len(own)
        if has_depth:
            # Of depth without metres, nothing in metres, nor what is compared with it.
            left_out = () if has_metric_depth else ("rmse", "log_rmse")
            metrics |= _named("depth_aligned", _pooled(self.aligned), left_out)
        for task, metric in (
            ("normals", self.normals),
            ("human_parts", self.parts),
            ("sal", self.saliency),
            ("edge", self.edges),
        ):
            if metric.update_called:
                metrics |= _named(task, metric.compute())
        scales = [f.depth_scale for f in self.frames if f.depth_scale is not None]
        ranges = depth_by_distance(self.depth if has_metric_depth else self.aligned)
        if not has_metric_depth:
            ranges = [{k: v for k, v in entry.items() if k != "rmse"} for entry in ranges]
        return Report(
            len(self.frames),
            metrics | stability,
            class_iou(self.confusion).tolist() if has_labels else [],
            self.confusion.tolist() if has_labels else [],
            _spread(scales) if scales else {},
            ranges if has_depth else [],
            self.frames,
            self._digest.hexdigest(),
            truth_digests={t: self._digests[t].hexdigest() for t in sorted(self._known)},
            part_iou=self.parts.iou() if self.parts.confusion.any() else [],
            reliability=reliability_by_bin(self.reliability) if has_confidence else [],
        )


def _named(
    task: str, figures: dict[str, float], left_out: tuple[str, ...] = ()
) -> dict[str, float]:
    return {f"{task}_{name}": v for name, v in figures.items() if name not in left_out}


def _pooled(ranges: torch.Tensor) -> dict[str, float]:
    """Figures over all ranges, and the share of pixels with truth that are predicted."""
    known, *sums = ranges.sum(1)
    return {**depth_figures(torch.stack(sums)), "coverage": float(sums[0] / known)}


def median_scale(depth: NDArray[np.float32], truth: Target) -> float | None:
    """The factor that brings the median of a depth map to the truth's, over pixels with both.

    Args:
        depth: float32 [H, W] in any unit; NaN or 0: none.
        truth: float32 [H, W], metres; 0 where unknown.

    Returns:
        The quotient of the two medians; None where no pixel has both.

    >>> median_scale(np.array([[1.0, 2.0, 9.0, np.nan]]), np.array([[3.0, 3.0, 0.0, 5.0]]))
    2.0
    """
    known = np.isfinite(depth) & (depth > 0) & (truth > 0)
    if not known.any():
        return None
    return float(np.median(truth[known]) / np.median(depth[known]))


def _spread(scales: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(scales, (16, 50, 84)).tolist()
    return {"median": middle, "p16": low, "p84": high}


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
