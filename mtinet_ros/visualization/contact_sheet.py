# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: many frames at a glance, each as image, classes, depth and normals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import RGB
from mtinet_ros.visualization.colors import (
    LabelColors,
    colorize_depth,
    colorize_normals,
    depth_range,
)
from mtinet_ros.visualization.grid import grid

_KINDS = ("image", "labels", "depth", "normals")


@dataclass(frozen=True, eq=False)
class SheetFrame:
    """One image and what is known of its pixels, be it predicted or true.

    Attributes:
        image: uint8 [H,W,3] RGB.
        labels: uint8 [H,W] class ids. None here and below: nothing is known.
        depth: float32 [H,W], metres; NaN or 0: unknown.
        normals: float32 [H,W,3] unit vectors in the camera optical frame; NaN or zero: unknown.
        others: uint8 [H,W,3] RGB each, of other things that are known, by name.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None
    others: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


def contact_sheet(
    frames: Sequence[SheetFrame],
    palette: Sequence[RGB],
    *,
    width: int = 160,
    columns: int = 1,
    near_far: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """A strip per frame: image, classes, depth, normals, others. What no frame has is left out.

    Args:
        frames: At least one. All strips have the aspect ratio of the first frame.
        palette: RGB color per class id.
        width: Of each image in a strip, pixels.
        columns: Strips side by side.
        near_far: Depths of the brightest and the darkest color, metres; None: the `depth_range`
            of all frames together, so that equal colors are equal depths all over the sheet.

    Returns:
        uint8 [h,w,3] RGB.
    """
    depths = [frame.depth for frame in frames if frame.depth is not None]
    near_far = near_far or depth_range(*depths)
    colors = LabelColors(palette)
    height = round(width * frames[0].image.shape[0] / frames[0].image.shape[1])
    strips = [
        {name: _resized(view, name, width, height) for name, view in views.items()}
        for views in (_views(frame, colors, near_far) for frame in frames)
    ]
    kinds = dict.fromkeys((*_KINDS, *(name for frame in frames for name in frame.others)))
    shown = [name for name in kinds if any(name in strip for strip in strips)]
    blank = np.zeros((height, width, 3), np.uint8)
    return grid(
        [np.hstack([strip.get(name, blank) for name in shown]) for strip in strips], columns
    )


def _views(
    frame: SheetFrame, colors: LabelColors, near_far: tuple[float, float] | None
) -> dict[str, NDArray[np.uint8]]:
    """What is known of a frame as RGB by kind, each of its own size."""
    views = {"image": frame.image}
    if frame.labels is not None:
        views["labels"] = colors.colorize(frame.labels)
    if frame.depth is not None:
        views["depth"] = colorize_depth(frame.depth, near_far)
    if frame.normals is not None:
        views["normals"] = colorize_normals(frame.normals)
    views.update(frame.others)
    return views


def _resized(view: NDArray[np.uint8], kind: str, width: int, height: int) -> NDArray[np.uint8]:
    # Colors of classes, depths and directions have no meaning in between.
    interpolation = cv2.INTER_AREA if kind == "image" else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(view, (width, height), interpolation=interpolation), np.uint8)
