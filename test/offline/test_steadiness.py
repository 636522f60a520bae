# SPDX-License-Identifier: Apache-2.0
"""A model walked over a recording: what it says of each picture against those beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.offline.steadiness import measure_steadiness
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.recordings.frame import Header, RecordedFrame

HEIGHT, WIDTH = 96, 128
PICTURES = Path(__file__).parents[2] / "demo" / "pictures"
Picture = NDArray[np.uint8]


class Seer:
    """Says of a picture what a function of it says, in buffers that the next answer reuses."""

    def __init__(self, labels: Callable[[Picture], Picture], depth: Sequence[float]) -> None:
        self.labels, self.depth, self.seen = labels, depth, 0
        self._labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        self._depth = np.zeros((HEIGHT, WIDTH), np.float32)

    def predict(self, images: Sequence[Picture], cameras: Sequence[Any]) -> list[Prediction]:
        self._labels[:] = self.labels(images[0])
        self._depth[:] = self.depth[self.seen % len(self.depth)]
        self.seen += 1
        return [Prediction(images[0], self._labels, self._depth, camera=cameras[0])]


def bright(image: Picture) -> Picture:
    """Class 1 where the picture is brighter than 128."""
    return (image[..., 1] > 128).astype(np.uint8)


def world(seed: int = 0, width: int = 400) -> Picture:
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, width, 1)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.repeat(np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def frame(
    picture: Picture, number: int, camera: str = "front", mask: NDArray[np.bool_] | None = None
) -> RecordedFrame:
    return RecordedFrame(
        camera, number, Header(number, camera), f"{camera}/{number:04}",
        lambda: DecodedImage(picture, None, mask),
    )  # fmt: skip


def panning(count: int, seed: int = 0, camera: str = "front") -> list[RecordedFrame]:
    room = world(seed)
    views = [np.ascontiguousarray(room[:, 4 * i : 4 * i + WIDTH]) for i in range(count)]
    return [frame(view, number, camera) for number, view in enumerate(views)]


def measure(seer: Seer, frames: Sequence[RecordedFrame], **options: Any) -> Any:
    return measure_steadiness(cast("Predictor", seer), frames, **options)


def test_a_model_that_goes_by_the_picture_is_steady_on_a_pan() -> None:
    run = measure(Seer(bright, [2.0]), panning(6))
    figures = run.steadiness.figures()
    assert (run.frames, run.steadiness.cuts) == (6, 0)
    assert (len(run.steadiness.labels), len(run.steadiness.depth)) == (5, 4)
    assert figures["flicker"] < 0.01
    assert figures["label_consistency"] > 0.98
    assert figures["depth_jitter"] == pytest.approx(0, abs=1e-6)
    assert figures["followed"] > 0.85
    assert "noise_flicker" not in figures


def test_a_model_that_changes_its_mind_once_is_caught_at_that_picture() -> None:
    """One answer of six with classes swapped: two pairs of five change wholly."""

    def moody(image: Picture) -> Picture:
        return bright(image) ^ np.uint8(seer.seen == 3)

    seer = Seer(moody, [2.0, 2.0, 2.2, 2.0, 2.0, 2.0])
    run = measure(seer, panning(6))
    figures = run.steadiness.figures()
    assert figures["flicker"] == pytest.approx(2 / 5, abs=0.01)
    assert {name for name, _ in run.worst(2)} == {"front/0003", "front/0004"}
    assert all(share > 0.98 for _, share in run.worst(2))
    # Triples around pictures 1, 2, 3, 4: half, whole, half of log 1.1, and none.
    expected = np.log(1.1) * (0.5 + 1 + 0.5 + 0) / 4
    assert figures["depth_scale_jitter"] == pytest.approx(expected, abs=1e-5)
    assert run.record()["figures"] == figures


def test_cameras_are_not_compared_with_each_other() -> None:
    front, rear = panning(4), panning(4, seed=5, camera="rear")
    turns = [f for pair in zip(front, rear, strict=True) for f in pair]
    run = measure(Seer(bright, [2.0]), turns)
    assert run.steadiness.cuts == 0
    assert len(run.steadiness.labels) == 6
    assert run.steadiness.figures()["flicker"] < 0.01


def test_a_cut_in_a_video_is_counted_and_not_measured() -> None:
    shelf, desks = (
        cv2.resize(np.asarray(cv2.imread(str(PICTURES / name)), np.uint8), (WIDTH + 8, HEIGHT))
        for name in ("kinect_bookshelf.png", "office_desk.jpg")
    )
    cut = [room[:, 4 * i : 4 * i + WIDTH] for room in (shelf, desks) for i in range(3)]
    frames = [frame(np.ascontiguousarray(view), i) for i, view in enumerate(cut)]
    run = measure(Seer(bright, [2.0, 2.0, 2.0, 5.0, 5.0, 5.0]), frames)
    assert run.steadiness.cuts == 1
    assert (len(run.steadiness.labels), len(run.steadiness.depth)) == (4, 2)
    assert run.steadiness.figures()["depth_jitter"] == pytest.approx(0, abs=1e-6)


def test_a_picture_that_cannot_be_read_is_told_and_splits_the_video() -> None:
    def refuse() -> DecodedImage:
        raise InputError("the image is damaged")

    frames = panning(6)
    frames[2] = RecordedFrame("front", 2, Header(2, ""), "front/0002", refuse)
    run = measure(Seer(bright, [2.0]), frames)
    assert run.unreadable == ["front/0002: the image is damaged"]
    assert run.frames == 5
    assert (len(run.steadiness.labels), len(run.steadiness.depth)) == (3, 1)


def test_what_rectification_left_black_says_nothing() -> None:
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[:, : WIDTH // 2] = False
    frames = [frame(world()[:, :WIDTH].copy(), number, mask=mask) for number in range(3)]
    seer = Seer(lambda image: np.full((HEIGHT, WIDTH), seer.seen % 2, np.uint8), [2.0])
    seen = measure(seer, frames).steadiness
    assert seen.figures()["flicker"] == 1.0
    assert seen.labels[0].confusion.sum() == HEIGHT * WIDTH // 2
    assert seen.depth[0].followed == pytest.approx(0.5)
    nothing = [frame(world()[:, :WIDTH].copy(), n, mask=np.zeros_like(mask)) for n in range(3)]
    assert measure(seer, nothing).steadiness.figures() == {}
    assert VOID_ID == 255


def test_noise_alone_flips_pixels_near_the_threshold() -> None:
    """Gray 128 and 129, noise of 1: each noisy copy is above 128 where the noise says so."""
    gray = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    seer = Seer(bright, [2.0, 2.0, 2.1])  # the picture itself, then two noisy ones
    run = measure(seer, [frame(gray, 0)], noise=1.0)
    figures = run.steadiness.figures()
    # Rounded noise above 0: P(n > 0.5) = 0.3085; two copies differ with 2 p (1 − p).
    assert figures["noise_flicker"] == pytest.approx(2 * 0.3085 * 0.6915, abs=0.02)
    assert figures["noise_depth_jitter"] == pytest.approx(np.log(1.05), abs=1e-5)
    assert run.frames == 1
