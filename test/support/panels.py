# SPDX-License-Identifier: Apache-2.0
"""All that the viewer shows of a camera, in colors that are found again in a picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mtinet_ros.viewer.scene import Scene

PICTURE, WALL, FLOOR, NORMAL, POINT = (
    (250, 40, 200),
    (30, 190, 60),
    (200, 120, 20),
    (120, 250, 230),
    (240, 220, 10),
)
INFERNO_HALF = (188, 55, 84)  # matplotlib's inferno at one half
LINES = [(70, 130, 230), (240, 130, 30)]

# Of a panel: left, top, right, bottom as shares of the window, and colors that must be seen in it.
# The layout is that of mtinet_ros/viewer/scene.py: 3 parts of pictures, 2 of the rest.
# The left of a plot, where its lines are named in their colors, is left out.
PANELS = {
    "image": ((0.0, 0.05, 0.3, 0.5), [PICTURE]),
    "segmentation": ((0.3, 0.05, 0.6, 0.5), [WALL, FLOOR]),
    "depth": ((0.0, 0.5, 0.3, 1.0), [INFERNO_HALF]),
    "normals": ((0.3, 0.5, 0.6, 1.0), [NORMAL]),
    "points": ((0.6, 0.05, 1.0, 0.6), [POINT]),
    "classes": ((0.6, 0.6, 0.8, 1.0), [WALL, FLOOR]),
    "rate": ((0.86, 0.6, 1.0, 0.8), LINES),
    "latency": ((0.86, 0.8, 1.0, 1.0), LINES),
}


def show_everything(scene: Scene) -> None:
    """Three frames of one camera, each output in colors of its own."""
    scene.add_camera("front")
    classes = [
        {"id": 0, "name": "wall", "color": WALL},
        {"id": 1, "name": "floor", "color": FLOOR},
    ]
    scene.legend("front", classes)
    labels = np.zeros((120, 160), np.uint8)
    labels[60:] = 1
    depth = np.full((120, 160), 3.0, np.float32)
    depth[:, 80:] = 1.5  # the middle between 0 and the farthest, and so of the color map
    y, x = np.mgrid[-1:1:60j, -1:1:60j]
    cloud = np.stack([x, y, np.full_like(x, 2.0)], axis=-1).reshape(-1, 3).astype(np.float32)
    for second in range(3):
        scene.set_time(1_700_000_000_000_000_000 + second * 10**9)
        scene.image("front", plain(PICTURE))
        scene.labels("front", labels)
        scene.depth("front", depth)
        scene.normals("front", plain(NORMAL))
        scene.points("front", cloud, np.tile(np.uint8(POINT), (len(cloud), 1)))
        scene.lens("front", [120, 0, 80, 0, 120, 60, 0, 0, 1], (120, 160))
        values = {"input rate [Hz]": 30 - second, "output rate [Hz]": 20 + second}
        values |= {"latency p50 [ms]": 8 + second, "latency p99 [ms]": 20 - second}
        scene.status("front", {key: str(value) for key, value in values.items()})


def plain(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((120, 160, 3), color, np.uint8)


def missing(picture: NDArray[np.uint8]) -> dict[str, list[tuple[int, int, int]]]:
    """By panel, the colors that are seen on fewer than 20 pixels of it."""
    height, width = picture.shape[:2]
    found = {}
    for name, ((left, top, right, bottom), colors) in PANELS.items():
        rows = slice(int(top * height), int(bottom * height))
        panel = picture[rows, int(left * width) : int(right * width)].astype(int)
        absent = [
            color
            for color in colors
            if np.count_nonzero((abs(panel - color) <= 24).all(axis=-1)) < 20
        ]
        if absent:
            found[name] = absent
    return found


def save(picture: NDArray[np.uint8], path: Path) -> None:
    """Write it, for who wants to know what is missing."""
    assert cv2.imwrite(str(path), picture[..., ::-1])
