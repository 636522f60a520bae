# SPDX-License-Identifier: Apache-2.0
"""A model walked over a recording, to see how steadily it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.optical_flow import Motion, OpticalFlow
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.perception.steadiness import (
    LEAST_FOLLOWED,
    Steadiness,
    depth_changes,
    label_changes,
    still_depth,
    still_labels,
)
from mtinet_ros.recordings.frame import RecordedFrame

# Every so many pictures, the first among them, are seen twice with noise.
_NOISE_EVERY = 10


@dataclass
class SteadinessRun:
    """What was found in a recording.

    Attributes:
        steadiness: All changes.
        frames: Pictures that were seen.
        flicker_by_frame: Share of changed labels, by name of the later picture.
        unreadable: What was wrong with pictures that were left out, a sentence each.
    """

    steadiness: Steadiness = field(default_factory=Steadiness)
    frames: int = 0
    flicker_by_frame: dict[str, float] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def worst(self, count: int = 3) -> list[tuple[str, float]]:
        """The pictures whose labels differ most from those before, with their share."""
        return sorted(self.flicker_by_frame.items(), key=lambda entry: -entry[1])[:count]

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {
            "frames": self.frames,
            "cuts": self.steadiness.cuts,
            "figures": self.steadiness.figures(),
            "flicker_by_frame": self.flicker_by_frame,
            "unreadable": self.unreadable,
        }


@dataclass(frozen=True, eq=False)
class _Seen:
    """The newest picture of a camera, and the one before where they follow each other."""

    now: Prediction
    before: Prediction | None = None
    to_before: Motion | None = None


def measure_steadiness(
    predictor: Predictor,
    frames: Iterable[RecordedFrame],
    *,
    noise: float = 0.0,
    progress: Callable[[], None] = lambda: None,
) -> SteadinessRun:
    """Predict every picture and compare it with its neighbours in time, camera by camera.

    Predictions are compared at the network's own size, as the node publishes them.

    Args:
        predictor: The model.
        frames: In order of time. One that cannot be read is left out, and so are the pairs it
            would be in.
        noise: Standard deviation, in steps of 8 bits at the camera's size, of noise with which
            some pictures are seen twice; 0: none are.
        progress: Called after every picture.
    """
    run, flow = SteadinessRun(), OpticalFlow()
    newest: dict[str, _Seen] = {}
    random = np.random.default_rng(0)
    for frame in frames:
        try:
            decoded = frame.decode()
        except InputError as error:
            run.unreadable.append(f"{frame.name}: {error}")
            newest.pop(frame.camera, None)
            progress()
            continue
        seen = _predict(predictor, decoded, decoded.image)
        if noise > 0 and run.frames % _NOISE_EVERY == 0:
            _compare_noisy(predictor, decoded, noise, random, run.steadiness)
        run.frames += 1
        last = newest.get(frame.camera)
        newest[frame.camera] = (
            _Seen(seen)
            if last is None or last.now.size != seen.size
            else _compare(last, seen, flow, frame.name, run)
        )
        progress()
    return run


def _compare(
    last: _Seen, now: Prediction, flow: OpticalFlow, name: str, run: SteadinessRun
) -> _Seen:
    to_now, to_last = flow.between(last.now.image, now.image)
    found = run.steadiness
    if to_last.share < LEAST_FOLLOWED:
        found.cuts += 1
        return _Seen(now)
    if last.now.labels is not None and now.labels is not None:
        labels = label_changes(last.now.labels, now.labels, to_last)
        if labels is not None:
            found.labels.append(labels)
            run.flicker_by_frame[name] = labels.changed
    if last.before is not None and last.to_before is not None:
        depths = (last.before.depth, last.now.depth, now.depth)
        if all(depth is not None for depth in depths):
            depth = depth_changes(*depths, last.to_before, to_now)  # type: ignore[arg-type]
            if depth is not None:
                found.depth.append(depth)
    return _Seen(now, last.now, to_last)


def _compare_noisy(
    predictor: Predictor,
    decoded: DecodedImage,
    noise: float,
    random: np.random.Generator,
    found: Steadiness,
) -> None:
    one, other = (
        _predict(predictor, decoded, _with_noise(decoded.image, noise, random)) for _ in range(2)
    )
    if one.labels is not None and other.labels is not None:
        labels = still_labels(one.labels, other.labels)
        if labels is not None:
            found.still_labels.append(labels)
    if one.depth is not None and other.depth is not None:
        depth = still_depth(one.depth, other.depth)
        if depth is not None:
            found.still_depth.append(depth)


def _with_noise(
    image: NDArray[np.uint8], deviation: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    noise = random.standard_normal(image.shape, np.float32) * np.float32(deviation)
    return np.asarray(np.rint(image + noise).clip(0, 255), np.uint8)


def _predict(predictor: Predictor, decoded: DecodedImage, image: NDArray[np.uint8]) -> Prediction:
    """A prediction that outlives the next one."""
    camera: CameraModel | None = decoded.camera
    found = predictor.predict([image], [camera])[0]
    if decoded.valid_mask is not None:
        found = found.masked(decoded.valid_mask)
    return Prediction(
        found.image.copy(),
        None if found.labels is None else found.labels.copy(),
        None if found.depth is None else found.depth.copy(),
        camera=found.camera,
        depth_is_metric=found.depth_is_metric,
    )
