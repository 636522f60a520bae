# SPDX-License-Identifier: Apache-2.0
"""Measure a model as a user of its outputs would: at the size of the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, SampleSource
from mtinet_ros.training.metrics import DepthMetric, NormalMetric, SegmentationMetric
from mtinet_ros.training.stability import Stability, correspond


@dataclass(frozen=True)
class Predicted:
    """What a model says about one image, at its size; None for a task it does not have.

    Attributes:
        labels: Class ids [H, W].
        depth: float32 [H, W], metres for the image's own lens.
        normals: float32 [H, W, 3].
    """

    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None


class EvaluatedModel(Protocol):
    """Anything that can be measured."""

    def __call__(self, image: NDArray[np.uint8], intrinsics: Intrinsics | None) -> Predicted:
        """Look at one image [H, W, 3], RGB; without a lens depth is for the canonical one."""
        ...


@dataclass(frozen=True)
class Report:
    """Figures of one evaluation.

    Attributes:
        frames: Frames measured.
        metrics: Figure by "task_name", e.g. "semseg_miou"; "flicker" and "depth_jitter" where the
            data hold camera paths.
        class_iou: IoU by class id; empty without segmentation.
    """

    frames: int
    metrics: dict[str, float]
    class_iou: list[float] = field(default_factory=list)


def evaluate(
    predict: EvaluatedModel,
    source: SampleSource,
    indices: Iterable[int],
    classes: int,
    progress: Callable[[], None] = lambda: None,
) -> Report:
    """Measure a predictor on samples, and its stability where they follow a camera path.

    Args:
        predict: The model.
        source: The data.
        indices: Which samples.
        classes: Number of semseg classes.
        progress: Called after every sample.
    """
    wanted = sorted(set(indices))
    segmentation, depth, normals = SegmentationMetric(classes), DepthMetric(), NormalMetric()
    stability = Stability()
    follows = {index: before for video in source.videos() for before, index in pairwise(video)}
    last: tuple[int, Sample, Predicted] | None = None
    for index in wanted:
        sample = source[index]
        found = predict(sample.image, sample.intrinsics)
        if found.labels is not None and "semseg" in sample.targets:
            segmentation.update(_tensor(found.labels), _tensor(sample.targets["semseg"]))
        if found.depth is not None and "depth" in sample.targets:
            depth.update(_tensor(found.depth), _tensor(sample.targets["depth"]))
        if found.normals is not None and "normals" in sample.targets:
            normals.update(_tensor(found.normals), _tensor(sample.targets["normals"]))
        if last is not None and follows.get(index) == last[0]:
            match = correspond(last[1], sample)
            if found.labels is not None and last[2].labels is not None:
                stability.update_labels(match, last[2].labels, found.labels)
            if found.depth is not None and last[2].depth is not None:
                stability.update_depth(match, last[2].depth, found.depth)
        last = (index, sample, found)
        progress()
    metrics = {
        f"{task}_{name}": value
        for task, metric, count in (
            ("semseg", segmentation, segmentation.confusion.sum()),
            ("depth", depth, depth.sums[0]),
            ("normals", normals, normals.sums[0]),
        )
        if count > 0
        for name, value in metric.compute().items()
    }
    has_labels = segmentation.confusion.sum() > 0
    return Report(
        len(wanted), metrics | stability.compute(), segmentation.iou() if has_labels else []
    )


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
