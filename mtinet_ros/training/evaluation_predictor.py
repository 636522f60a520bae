# SPDX-License-Identifier: Apache-2.0
"""A model as it is measured: at the camera's size, as the node publishes it, or as papers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mtinet_ros.datasets.class_sets import HUMAN_PARTS
from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.depth import depth_scale
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.perception.resample import resize_prediction
from mtinet_ros.training.decode import decode
from mtinet_ros.training.evaluation import DensePrediction
from mtinet_ros.training.evaluation_report import Report
from mtinet_ros.training.paper_views import resize_as_authors


class CameraSizePredictor:
    """A `DensePredictor` that does what the node does when it publishes at the camera's size."""

    def __init__(
        self,
        predictor: Predictor,
        further: Callable[[], Mapping[str, Tensor]] = dict,
        *,
        as_published: bool = False,
    ) -> None:
        """Measure a model.

        Args:
            predictor: With the model's backend.
            further: Gives, after each image, the raw predictions 1×C×H×W of the tasks that the
                model contract has no output for: human_parts, sal and edge.
            as_published: Resize as the paper's authors do: pictures are stretched to the network's
                size by cubic interpolation, ids come back by nearest pixel, all else linearly.
        """
        self._predictor = predictor
        self._further = further
        self._batch = predictor.new_batch()
        self._as_published = as_published

    def __call__(self, image: NDArray[np.uint8], intrinsics: Intrinsics | None) -> DensePrediction:
        """See `DensePredictor`.

        Raises:
            ConfigurationError: The network says other things than can be measured.
        """
        height, width = image.shape[:2]
        size, shown = (width, height), image
        if self._as_published:
            rows, columns = self._predictor.card.input_size
            shown = resize_as_authors(Sample(image, {}, None), rows, columns).image
        camera = None
        if intrinsics is not None:
            f = intrinsics.focal_length
            camera = CameraModel.pinhole(width, height, f, f, intrinsics.cx, intrinsics.cy)
            new = (shown.shape[1], shown.shape[0])
            camera = camera.resampled((new[0] / width, new[1] / height), (0.0, 0.0), new)
        self._batch.clear()
        fit = self._predictor.preprocess(self._batch, shown, camera)
        backend = self._predictor.backend
        # Not `Predictor.infer`, which runs nothing where the contract has no output.
        outputs = backend.infer(self._batch.images, backend.output_names)
        found = self._predictor.postprocess(self._batch, outputs)[0]
        if self._as_published:
            if "depth" in outputs:  # all of it: what a robot voids counts as wrong
                scale = depth_scale(self._predictor.card, fit, camera)
                every = np.asarray(fit.crop(outputs["depth"][0]), np.float32)
                found = replace(found, depth=every * np.float32(1 if scale is None else scale))
            found = _resized_as_authors(found, image)
        else:
            found = resize_prediction(found, image)
        # Normals with unknown axes cannot be compared with any.
        card = self._predictor.card
        normals = found.normals if card.normals_axes == "camera_optical" else None
        # The predictor may reuse its buffers for the next frame.
        labels, depth, normals, confidence = (
            None if array is None else array.copy()
            for array in (found.labels, found.depth, normals, found.confidence)
        )
        further = self._further()
        _check_channels(further)
        more = {
            task: fit.crop(decoded.reshape(decoded.shape[-2:]).numpy())
            for task, decoded in decode(further, "metres").items()
        }
        parts = more.get("human_parts")
        pixels = cv2.INTER_NEAREST if self._as_published else cv2.INTER_NEAREST_EXACT
        return DensePrediction(
            labels,
            depth,
            normals,
            depth_is_metric=found.depth_is_metric,
            human_parts=None if parts is None else _nearest(parts.astype(np.uint8), size, pixels),
            sal=_linear(more.get("sal"), size),
            edge=_linear(more.get("edge"), size),
            confidence=confidence,
        )


def _check_channels(predictions: Mapping[str, Tensor]) -> None:
    known = {"human_parts": len(HUMAN_PARTS), "sal": 1, "edge": 1}
    for task, raw in predictions.items():
        if raw.shape[1] != known.get(task):
            raise ConfigurationError(
                f"the network has {raw.shape[1]} channels for {task}; {known.get(task, 'none')} "
                "can be measured"
            )


def _resized_as_authors(found: Prediction, image: NDArray[np.uint8]) -> Prediction:
    size = image.shape[1::-1]
    labels, confidence = found.labels, found.confidence
    normals = _linear(found.normals, size)
    if normals is not None:
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        normals = np.asarray(normals / np.maximum(length, 1e-12), np.float32)
    return replace(
        found,
        image=image,
        labels=None if labels is None else _nearest(labels, size, cv2.INTER_NEAREST),
        confidence=None if confidence is None else _nearest(confidence, size, cv2.INTER_NEAREST),
        depth=_linear(found.depth, size),
        normals=normals,
    )


def _nearest(ids: NDArray[np.uint8], size: tuple[int, int], pixels: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(ids, size, interpolation=pixels), np.uint8)


def _linear(
    values: NDArray[np.float32] | None, size: tuple[int, int]
) -> NDArray[np.float32] | None:
    if values is None:
        return None
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def caveats(card: ModelCard, report: Report) -> list[str]:
    """What the figures do not say where depth or normals are not the contract's."""
    found = []
    frames = [frame for frame in report.frame_figures if frame.depth_abs_rel is not None]
    without_lens = sum(frame.depth_rmse is None for frame in frames)
    if card.has_metric_depth and without_lens:
        found.append(
            f"{without_lens} of {len(frames)} frames have no known lens: their depth is measured "
            "scaled alone"
        )
    if "depth" in card.tasks and not card.has_metric_depth:
        why = (
            f"the model's depth is {card.depth_kind}, not metric"
            if card.depth_kind != "metric"
            else "the focal length for which its depth is in metres is not known"
        )
        found.append(
            f"depth is measured up to scale: {why}; each frame is scaled to the median of the "
            "truth first, and no figure is in metres"
        )
    if "normals" in card.tasks and card.normals_axes != "camera_optical":
        found.append(
            f"normals are not measured: their axes are {card.normals_axes}; `mtinet export` with "
            "--preset or --normals-axes says how they point"
        )
    return found
