# SPDX-License-Identifier: Apache-2.0
"""Measure a model as a user of its outputs would: at the size of the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mtinet_ros.errors import ModelError
from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.network import MTINet, load_checkpoint
from mtinet_ros.network.weights_file import read_metadata
from mtinet_ros.training.decode import decode
from mtinet_ros.training.loader import normalise
from mtinet_ros.training.metrics import DepthMetric, NormalMetric, SegmentationMetric
from mtinet_ros.training.sample import Lens, Sample, SampleSource
from mtinet_ros.training.stability import Stability, correspond


@dataclass(frozen=True)
class Predicted:
    """What a model says about one image; None for a task it does not have.

    Attributes:
        labels: Class ids [H, W].
        depth: float32 [H, W], metres for the image's own lens.
        normals: float32 [H, W, 3].
    """

    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None

    def resized(self, height: int, width: int) -> Predicted:
        """At another size: labels by nearest neighbour, the rest bilinear."""

        size = (width, height)
        labels, depth, normals = self.labels, self.depth, self.normals
        if labels is not None:
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(
                np.uint8
            )
        if depth is not None:
            depth = cv2.resize(depth, size).astype(np.float32)
        if normals is not None:
            normals = cv2.resize(normals, size).astype(np.float32)
        return Predicted(labels, depth, normals)


class Predictor(Protocol):
    """Anything that can be measured: a network here, an exported model elsewhere."""

    def __call__(self, image: NDArray[np.uint8], lens: Lens | None) -> Predicted:
        """Look at one image [H, W, 3], RGB; without a lens depth is for the canonical one."""
        ...


class CheckpointPredictor:
    """A network trained here, with what its checkpoint says about size, lens and depth."""

    def __init__(self, path: str | Path) -> None:
        """Load a checkpoint.

        Raises:
            ModelError: It cannot be read, or lacks what training writes into its header.
        """
        header = read_metadata(path)
        try:
            self.height, self.width = int(header["height"]), int(header["width"])
            self.focal_length = float(header["focal_length"])
            self.depth_encoding = header["depth_encoding"]
            self.class_names = ModelCard.from_json(header[METADATA_KEY]).class_names
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{path} does not say {error} of its training: give a checkpoint written by "
                "`mtinet train`."
            ) from error
        self.network: MTINet = load_checkpoint(path).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, image: NDArray[np.uint8], lens: Lens | None) -> Predicted:
        """Stretch to the network's size, predict, scale depth by the lens."""
        rows, columns = image.shape[:2]
        size = (self.width, self.height)
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        with torch.inference_mode():
            raw = self.network(normalise(small)[None]).predictions
        decoded = {
            task: value[0].numpy() for task, value in decode(raw, self.depth_encoding).items()
        }
        scale = 1.0
        if lens is not None:
            fit_scale = np.sqrt(self.height / rows * self.width / columns)
            scale = lens.focal_length * float(fit_scale) / self.focal_length
        return Predicted(
            decoded["semseg"].astype(np.uint8) if "semseg" in decoded else None,
            decoded["depth"][0] * np.float32(scale) if "depth" in decoded else None,
            decoded["normals"].transpose(1, 2, 0) if "normals" in decoded else None,
        )


@dataclass(frozen=True)
class Report:
    """Figures of one evaluation.

    Attributes:
        frames: Frames measured.
        metrics: Figure by "task_name", e.g. "semseg_miou"; "flicker" and "depth_jitter" where the
            data hold camera paths.
        class_iou: IoU by class id.
    """

    frames: int
    metrics: dict[str, float]
    class_iou: list[float] = field(default_factory=list)


def evaluate(
    predict: Predictor,
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
        found = predict(sample.image, sample.lens).resized(*sample.image.shape[:2])
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
    if stability.pixels:
        metrics |= stability.compute()
    return Report(len(wanted), metrics, segmentation.iou())


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
