# SPDX-License-Identifier: Apache-2.0
"""What a network says beyond the model contract arrives at the picture's own pixels."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("torchmetrics")

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import Backend, Run
from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.training.evaluation_predictor import CameraSizePredictor


class Silent(Backend):
    """A backend of a network without any output of the model contract."""

    name, device, max_batch, output_names = "silent", "none", 1, ()
    precision = "fp32"
    card = ModelCard("silent", ("human_parts", "sal", "edge"), (32, 64))

    def begin(self, images: np.ndarray, wanted: Collection[str]) -> Run:
        found = self.see(images, wanted)
        return Run(lambda: found)

    def see(self, images: np.ndarray, wanted: Collection[str]) -> dict[str, np.ndarray]:
        assert images.shape == (1, 32, 64, 3)
        assert not wanted
        return {}

    def close(self) -> None: ...


def test_borders_are_cut_off_and_logits_become_probabilities() -> None:
    # A picture of 64x128 is halved and has 0 rows of border; one of 32x128 has 8 above and below.
    parts = torch.zeros(1, 7, 32, 64)
    parts[0, 0] = 1
    parts[0, 3, 8:24, 10] = 2  # a column that reaches from border to border
    parts[0, 6, :8] = 9  # in the border, where nobody must see it
    logits = torch.full((1, 1, 32, 64), -20.0)
    logits[0, 0, :, 32:] = 20
    further = {"human_parts": parts, "sal": logits, "edge": -logits}
    predict = CameraSizePredictor(Predictor(Silent()), lambda: further)
    found = predict(np.zeros((32, 128, 3), np.uint8), None)
    assert found.labels is found.depth is found.normals is None
    expected = np.zeros((32, 128), np.uint8)
    expected[:, 20:22] = 3
    assert found.human_parts.dtype == np.uint8
    assert (found.human_parts == expected).all()
    assert found.sal.shape == found.edge.shape == (32, 128)
    # Linear between the centers of two pixels, which are 1 and 0: a quarter and three quarters.
    assert found.sal[5, [0, 62, 63, 64, 65, 127]] == pytest.approx(
        [0, 0, 0.25, 0.75, 1, 1], abs=1e-6
    )
    assert found.edge == pytest.approx(1 - found.sal, abs=1e-6)


def test_a_network_of_other_channels_is_not_measured() -> None:
    further = {"sal": torch.zeros(1, 2, 32, 64)}
    predict = CameraSizePredictor(Predictor(Silent()), lambda: further)
    with pytest.raises(ConfigurationError, match="has 2 channels for sal; 1 can be measured"):
        predict(np.zeros((32, 64, 3), np.uint8), None)


def test_as_published_means_stretched_cubically_and_back_linearly() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (20, 128, 3), np.uint8)
    seen = []

    class Watching(Silent):
        output_names = ("labels", "normals")

        def see(self, images: np.ndarray, _wanted: Collection[str]) -> dict[str, np.ndarray]:
            seen.append(images[0].copy())
            labels = np.zeros((1, 32, 64), np.uint8)
            labels[0, 16:] = 1
            normals = np.zeros((1, 32, 64, 3), np.float32)
            normals[0, :, :32, 0], normals[0, :, 32:, 2] = -1, -1
            return {"labels": labels, "normals": normals}

    further = {"edge": torch.zeros(1, 1, 32, 64)}
    predict = CameraSizePredictor(Predictor(Watching()), lambda: further, as_published=True)
    found = predict(image, None)
    cubic = cv2.resize(image.astype(np.float64), (64, 32), interpolation=cv2.INTER_CUBIC)
    assert np.abs(seen[0] - np.clip(cubic, 0, 255)).max() <= 1
    # Row r of 20 is that of 32 at floor(r · 1.6).
    assert found.labels[:, 0].tolist() == [int(r * 1.6) // 16 for r in range(20)]
    # Between the two directions lies a mixture of unit length, not one of both.
    middle = found.normals[5, 63]
    assert np.linalg.norm(middle) == pytest.approx(1)
    assert middle == pytest.approx(np.array([-0.75, 0, -0.25]) / np.hypot(0.75, 0.25), abs=1e-6)
    assert found.edge.shape == (20, 128)


def test_as_published_measures_depth_that_a_robot_would_not_get() -> None:
    raw = np.full((32, 64), 2.5, np.float32)
    raw[:16], raw[16:24] = -0.3, 12

    class Deep(Silent):
        output_names = ("depth",)
        card = ModelCard(
            "deep", ("depth",), (32, 64), focal_length=50.0, depth_kind="metric",
            depth_range=(0.5, 10.0),
        )  # fmt: skip

        def see(self, _images: np.ndarray, _wanted: Collection[str]) -> dict[str, np.ndarray]:
            return {"depth": raw[None].copy()}

    image, lens = np.zeros((32, 64, 3), np.uint8), Intrinsics(100.0, 31.5, 15.5)
    published = CameraSizePredictor(Predictor(Deep()), as_published=True)(image, lens)
    assert published.depth == pytest.approx(2 * raw)
    robot = CameraSizePredictor(Predictor(Deep()))(image, lens)
    assert np.isnan(robot.depth[:24]).all()
    assert robot.depth[24:] == pytest.approx(5)
