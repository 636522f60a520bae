# SPDX-License-Identifier: Apache-2.0
"""Geometric augmentation by a rotated, zoomed or mirrored camera, with exact ground truth.

A camera that turns about its own centre, zooms or is mirrored sees the same scene through a
homography, whatever the scene's depth. So image, labels, depth and normals of the new view follow
exactly from the old one, and its intrinsics are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.training.config import AugmentationConfig


@dataclass(frozen=True)
class View:
    """A new camera at the position of the old one.

    Attributes:
        zoom: Factor on the focal length.
        rotation: 3×3, from the old to the new camera optical frame.
        mirrored: The new image is mirrored left to right.
    """

    zoom: float
    rotation: NDArray[np.float64]
    mirrored: bool


def random_view(config: AugmentationConfig, random: np.random.Generator) -> View:
    """A view drawn uniformly from the ranges of a configuration (zoom: from its logarithm's)."""
    tilt_x, tilt_y, roll = np.radians(
        random.uniform(-1, 1, 3) * (config.tilt, config.tilt, config.roll)
    )
    rotation, _ = cv2.Rodrigues(np.array([tilt_x, tilt_y, roll]))
    zoom = float(np.exp(random.uniform(*np.log(config.zoom))))
    return View(zoom, np.asarray(rotation, np.float64), bool(random.random() < config.flip))


def warp_to_view(
    sample: Sample, view: View, height: int, width: int, fill: tuple[int, int, int] = (0, 0, 0)
) -> Sample:
    """A sample as another view shows it, at another size.

    Args:
        sample: The old view; its intrinsics must be known.
        view: The new camera.
        height: Rows of the new image.
        width: Columns of the new image.
        fill: RGB of what the old image does not show; such pixels have no ground truth.

    Returns:
        The new view: image and depth as the new camera would take them (depth along its own
        optical axis), normals in its optical frame, its own intrinsics.
    """
    old = sample.intrinsics
    assert old is not None
    rows, columns = sample.image.shape[:2]
    scale = max(height / rows, width / columns)
    new = Intrinsics.centered(old.focal_length * scale * view.zoom, height, width)

    # Rays of the new pixels (z = 1), rotated into the old camera.
    focal_length = np.float32(new.focal_length)
    x = (np.arange(width, dtype=np.float32) - np.float32(new.cx)) / focal_length
    y = (np.arange(height, dtype=np.float32) - np.float32(new.cy)) / focal_length
    if view.mirrored:
        x = -x
    old_from_new = view.rotation.T.astype(np.float32)
    old_x, old_y, old_z = (
        old_from_new[i, 0] * x[None, :] + old_from_new[i, 1] * y[:, None] + old_from_new[i, 2]
        for i in range(3)
    )
    # cv2 places pixel centres at integers, as Intrinsics does.
    map_x = old_x / old_z * np.float32(old.focal_length) + np.float32(old.cx)
    map_y = old_y / old_z * np.float32(old.focal_length) + np.float32(old.cy)

    image = _sample_image(sample.image, map_x, map_y, new.focal_length / old.focal_length, fill)
    targets: dict[str, Target] = {}
    for task, target in sample.targets.items():
        unknown = 0 if task in ("depth", "normals") else VOID_ID
        warped = cv2.remap(
            target, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
            borderValue=(unknown,) * 4,
        )  # fmt: skip
        if task == "depth":
            warped = warped / old_z
        elif task == "normals":
            warped = warped.astype(np.float32) @ view.rotation.T.astype(np.float32)
            if view.mirrored:
                warped[..., 0] *= -1
        targets[task] = cast(Target, warped.astype(target.dtype))
    return Sample(np.asarray(image, np.uint8), targets, new)


def _sample_image(
    image: NDArray[np.uint8],
    map_x: NDArray[np.float32],
    map_y: NDArray[np.float32],
    scale: float,
    fill: tuple[int, int, int],
) -> NDArray[np.uint8]:
    """The image at the places of a map, averaged where it gets smaller.

    A robot's picture is shrunk by area. Sampled between two pixels here and two there, a picture
    would look sharper in training than ever again.
    """
    if scale < 1:
        rows, columns = image.shape[:2]
        size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        map_x = (map_x + np.float32(0.5)) * np.float32(size[0] / columns) - np.float32(0.5)
        map_y = (map_y + np.float32(0.5)) * np.float32(size[1] / rows) - np.float32(0.5)
    return np.asarray(
        cv2.remap(
            image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
        ),
        np.uint8,
    )


def resize_sample(sample: Sample, height: int, width: int) -> Sample:
    """A sample at another size: the image resized by area, targets by nearest neighbour."""
    rows, columns = sample.image.shape[:2]
    size = (width, height)
    image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    targets: dict[str, Target] = {}
    for task, target in sample.targets.items():
        resized = cv2.resize(target, size, interpolation=cv2.INTER_NEAREST_EXACT)
        targets[task] = cast(Target, resized)
    intrinsics = sample.intrinsics and sample.intrinsics.resized(
        np.sqrt(height / rows * width / columns)
    )
    return Sample(np.asarray(image, np.uint8), targets, intrinsics)
