# SPDX-License-Identifier: Apache-2.0
"""Measures how well obstacles and floor are told apart: by class, and by height.

    python evaluation/obstacles.py NYUD

A costmap marks what stands above the floor. Depth predicted from one picture bends floors, so this
compares two rules on real labelled rooms, at pixels whose truth is known: "class" marks what has
another label than floor, as the topics points/obstacles and points/ground have it; "height" marks
what lies higher than a threshold above the floor. The floor's plane is fitted to the true depth of
the true floor, so height is judged as if the robot knew its camera's pose exactly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.sample import Sample, evenly_spaced
from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import load_backend
from mtinet_ros.install_paths import find_model
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.perception.resample import resize_prediction

RANGE = 3.0  # metres: what is farther marks nothing
THRESHOLD = 0.10  # metres above the floor from which on the rule of height marks
TALL = 0.20  # metres above the floor from which on a thing is truly in the way
ROBOT = 1.8  # metres: what is higher is in nobody's way
LEAST_FLOOR = 0.03  # of a frame's pixels; with less of it there is no plane to speak of

Points = NDArray[np.float64]


def floor_plane(points: Points) -> tuple[Points, float] | None:
    """Plane n·p + d = 0 of most points [N,3], its normal towards the camera; None: no plane."""
    random = np.random.default_rng(0)
    best: NDArray[np.bool_] | None = None
    for _ in range(200):
        a, b, c = points[random.choice(len(points), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length > 1e-6:
            near = np.abs((points - a) @ (normal / length)) < 0.05
            if best is None or near.sum() > best.sum():
                best = near
    if best is None or best.mean() < 0.7:
        return None
    inliers = points[best]
    center = inliers.mean(axis=0)
    normal = np.linalg.svd(inliers - center, full_matrices=False)[2][2]
    offset = -float(normal @ center)
    return (normal, offset) if offset > 0 else (-normal, -offset)


def back_projected(depth: NDArray[np.float32], camera: CameraModel) -> Points:
    """Points [H,W,3] of a depth image, in the camera's optical frame, metres."""
    x, y = camera.ray_slopes()
    z = depth.astype(np.float64)
    return np.stack([x * z, y[:, np.newaxis] * z, z], axis=-1)


def marks(
    predictor: Predictor, sample: Sample, floor_ids: list[int], floor_label: int
) -> dict[str, NDArray[np.bool_]] | None:
    """What each rule marks, at pixels of true floor and of true obstacles; None: no floor."""
    assert sample.intrinsics is not None
    lens, (height, width) = sample.intrinsics, sample.image.shape[:2]
    fx_fy = (lens.focal_length, lens.focal_length)
    camera = CameraModel.pinhole(width, height, *fx_fy, lens.cx, lens.cy)
    truth = np.asarray(sample.targets["semseg"])
    true_points = back_projected(np.asarray(sample.targets["depth"], np.float32), camera)
    is_known = (truth != 255) & (true_points[..., 2] > 0)
    is_floor = np.isin(truth, floor_ids) & is_known
    if is_floor.mean() < LEAST_FLOOR:
        return None
    plane = floor_plane(true_points[is_floor])
    if plane is None:
        return None
    true_height = true_points @ plane[0] + plane[1]
    prediction = predictor.predict([sample.image], [camera])[0]
    prediction = resize_prediction(prediction, sample.image)
    assert prediction.labels is not None
    assert prediction.depth is not None
    height_above = back_projected(prediction.depth, camera) @ plane[0] + plane[1]
    is_near = np.linalg.norm(true_points, axis=-1) < RANGE
    floor = is_floor & is_near & (np.abs(true_height) < 0.05)
    obstacle = is_known & ~is_floor & is_near & (true_height > TALL) & (true_height < ROBOT)
    by_class = prediction.labels != floor_label
    by_height = (height_above > THRESHOLD) & (height_above < ROBOT)
    return {
        "floor, class": by_class[floor],
        "floor, height": by_height[floor],
        "obstacle, class": by_class[obstacle],
        "obstacle, height": by_height[obstacle],
    }


def main() -> None:
    """Predict, mark, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="NYU Depth V2, as for `mtinet evaluate`")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=10000, help="at most so many, evenly spaced")
    parser.add_argument("--model", default="mtinet_indoor")
    arguments = parser.parse_args()
    try:
        source = NyudSamples(str(arguments.data), arguments.split)
        floor_ids = [i for i, n in enumerate(source.class_names) if n in ("floor", "floor mat")]
        backend = load_backend(find_model(arguments.model), "auto", max_batch=1)
        predictor = Predictor(backend)
        floor_label = backend.card.class_names.index("floor")
        found = [
            marks(predictor, source[index], floor_ids, floor_label)
            for index in evenly_spaced(source, arguments.frames)
        ]
        backend.close()
    except MtinetError as error:
        raise SystemExit(str(error)) from error
    frames = [frame for frame in found if frame is not None]
    print(f"{len(frames)} of {len(found)} frames show enough floor; up to {RANGE:g} m:")
    for what in ("floor", "obstacle"):
        for rule in ("class", "height"):
            values = np.concatenate([frame[f"{what}, {rule}"] for frame in frames])
            print(f"  {what}, marked by {rule}: {values.mean():.1%} of {values.size} pixels")


if __name__ == "__main__":
    main()
