# SPDX-License-Identifier: Apache-2.0
"""Predictions made up for what writes them."""

from __future__ import annotations

import numpy as np

from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.frame import Header, RecordedFrame, Sink

CARD = ModelCard(
    name="toy",
    tasks=("semseg", "depth", "normals"),
    input_size=(64, 96),
    class_names=("wall", "floor", "chair"),
    palette=((120, 120, 120), (180, 120, 60), (40, 90, 200)),
)


def made_up_prediction(
    index: int, size: tuple[int, int] = (64, 96), *, is_metric: bool = True
) -> Prediction:
    """A prediction of (height, width) that is another for every index: a bar that moves."""
    height, width = size
    image = np.full((height, width, 3), (90, 110, 60), np.uint8)
    labels = np.zeros(size, np.uint8)
    labels[height // 2 :] = 1
    labels[:, index * 4 % width :][:, :8] = 2
    labels[0] = 255
    image[labels == 2] = (200, 60, 40)
    depth = np.full(size, 2.0 + 0.01 * index, np.float32)
    depth[:, 0] = np.nan
    normals = np.zeros((*size, 3), np.float32)
    normals[..., 2] = -1.0
    camera = CameraModel.pinhole(width, height, 80.0, 81.0, width / 2, height / 2)
    return Prediction(image, labels, depth, normals, None, camera, is_metric)


def made_up_frame(
    index: int, time: int, *, camera: str = "camera", name: str = ""
) -> RecordedFrame:
    """The frame of such a prediction."""
    decoded = DecodedImage(made_up_prediction(index).image, None)
    header = Header(time + 5, "camera_optical_frame")
    return RecordedFrame(camera, time, header, name or f"clip/{index:06d}", lambda: decoded)


def write_frame(sink: Sink, frame: RecordedFrame, prediction: Prediction) -> None:
    """Both steps of a sink."""
    sink.write(frame, sink.encode(frame, prediction))
