# SPDX-License-Identifier: Apache-2.0
"""Metrics of a whole model, measured as a user of its outputs would: at the data's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, SampleSource, Target
from mtinet_ros.training.metrics import DepthMetric, NormalMetric, SegmentationMetric
from mtinet_ros.training.stability import Stability, find_correspondence


@dataclass(frozen=True)
class DensePrediction:
    """Outputs of a model for one image, at the image's size; None for a task it does not have.

    Attributes:
        labels: uint8 [H, W] class ids.
        depth: float32 [H, W] along the optical axis of the image's own camera; NaN: none.
        normals: float32 [H, W, 3] unit vectors in the camera optical frame.
        depth_is_metric: Whether depth is in metres, or up to an unknown scale.
    """

    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None
    depth_is_metric: bool = True


class DensePredictor(Protocol):
    """Anything that can be measured: a model with its preprocessing and postprocessing."""

    def __call__(self, image: NDArray[np.uint8], intrinsics: Intrinsics | None) -> DensePrediction:
        """Predict for one image.

        Args:
            image: uint8 [H, W, 3] RGB.
            intrinsics: Of the image; None: depth is for the canonical focal length.
        """
        ...


@dataclass(frozen=True)
class Report:
    """Results of one evaluation.

    Attributes:
        frames: Number of frames.
        metrics: Value by "task_name", e.g. "semseg_miou"; "flicker" and "depth_jitter" where the
            data hold camera paths. Depth up to scale gives "depth_aligned_abs_rel" and so on,
            after scaling each frame to the median of its truth; nothing in metres, and no jitter,
            which needs the true motion.
        class_iou: IoU by class id; empty without segmentation.
    """

    frames: int
    metrics: dict[str, float]
    class_iou: list[float] = field(default_factory=list)


def evaluate(
    predictor: DensePredictor,
    source: SampleSource,
    indices: Iterable[int],
    classes: int,
    progress: Callable[[], None] = lambda: None,
) -> Report:
    """Measure a predictor on samples, and its stability where they follow a camera path.

    Args:
        predictor: The model.
        source: The data set.
        indices: Samples to measure on; each counts once.
        classes: Number of semseg classes.
        progress: Called after every sample.
    """
    indices = sorted(set(indices))
    segmentation, depth, normals = SegmentationMetric(classes), DepthMetric(), NormalMetric()
    aligned_depth = DepthMetric()
    stability = Stability()
    predecessors = {
        index: before for video in source.videos() for before, index in pairwise(video)
    }
    previous: tuple[int, Sample, DensePrediction] | None = None
    for index in indices:
        sample = source[index]
        prediction = predictor(sample.image, sample.intrinsics)
        if prediction.labels is not None and "semseg" in sample.targets:
            segmentation.update(_tensor(prediction.labels), _tensor(sample.targets["semseg"]))
        if prediction.depth is not None and "depth" in sample.targets:
            truth = sample.targets["depth"]
            if prediction.depth_is_metric:
                depth.update(_tensor(prediction.depth), _tensor(truth))
            else:
                aligned_depth.update(_tensor(_aligned(prediction.depth, truth)), _tensor(truth))
        if prediction.normals is not None and "normals" in sample.targets:
            normals.update(_tensor(prediction.normals), _tensor(sample.targets["normals"]))
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
    metrics = {
        f"{task}_{name}": value
        for task, metric, count in (
            ("semseg", segmentation, segmentation.confusion.sum()),
            ("depth", depth, depth.sums[0]),
            ("depth_aligned", aligned_depth, aligned_depth.sums[0]),
            ("normals", normals, normals.sums[0]),
        )
        if count > 0
        for name, value in metric.compute().items()
        if (task, name) != ("depth_aligned", "rmse")  # in metres
    }
    has_labels = segmentation.confusion.sum() > 0
    return Report(
        len(indices), metrics | stability.compute(), segmentation.iou() if has_labels else []
    )


def _aligned(depth: NDArray[np.float32], truth: Target) -> NDArray[np.float32]:
    """Depth times the factor that brings its median to the truth's, over pixels that have both."""
    known = np.isfinite(depth) & (depth > 0) & (truth > 0)
    if not known.any():
        return np.full_like(depth, np.nan)
    return np.asarray(depth * (np.median(truth[known]) / np.median(depth[known])), np.float32)


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
