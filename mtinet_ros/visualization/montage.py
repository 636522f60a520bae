# SPDX-License-Identifier: Apache-2.0
"""Several images with titles on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import RGB
from mtinet_ros.visualization.colors import LabelColors, colorize_depth, colorize_normals
from mtinet_ros.visualization.grid import grid

UNTRAINED_NOTE = "RANDOM WEIGHTS: this shows that everything runs, not what a trained model sees"

Panel = tuple[str, NDArray[np.uint8]]

_STRIP = 22  # height of a title strip, pixels
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def frame_panels(
    image: NDArray[np.uint8],
    palette: Sequence[RGB],
    *,
    labels: NDArray[np.uint8] | None = None,
    depth: NDArray[np.float32] | None = None,
    normals: NDArray[np.float32] | None = None,
    confidence: NDArray[np.uint8] | None = None,
) -> list[Panel]:
    """A titled image of the input and of everything that is known of its pixels.

    Args:
        image: uint8 [H,W,3] RGB.
        palette: RGB color per class id.
        labels: uint8 [H,W] class ids; None here and below: not known, and no panel.
        depth: float32 [H,W]; NaN or 0: unknown.
        normals: float32 [H,W,3] unit vectors in the camera optical frame; NaN or zero: unknown.
        confidence: uint8 [H,W] of the labels, white is certain.
    """
    panels: list[Panel] = [("image", image)]
    if labels is not None:
        panels.append(("segmentation", LabelColors(palette).overlay(image, labels)))
    if depth is not None:
        panels.append((depth_title(depth), colorize_depth(depth)))
    if normals is not None:
        panels.append(("normals", colorize_normals(normals)))
    if confidence is not None:
        panels.append(("confidence of the labels", np.repeat(confidence[..., np.newaxis], 3, -1)))
    return panels


def depth_title(depth: NDArray[np.float32]) -> str:
    """The least and the greatest known depth (neither NaN nor 0) in words."""
    known = depth[np.isfinite(depth) & (depth > 0)]
    return f"depth {known.min():.2f} to {known.max():.2f}" if known.size else "depth (none valid)"


def montage(
    panels: Sequence[Panel],
    legend: Sequence[tuple[str, RGB]] = (),
    note: str = "",
    columns: int = 2,
) -> NDArray[np.uint8]:
    """Lay titled images out in columns.

    Args:
        panels: Title and uint8 [h,w,3] RGB; all are brought to the size of the first.
        legend: Class name and color, shown below.
        note: A line at the top, e.g. a warning that the weights are random.
        columns: Images side by side.

    Returns:
        uint8 [H,W,3] RGB.
    """
    height, width = panels[0][1].shape[:2]
    scale = max(1.0, 320 / width)
    size = (round(width * scale), round(height * scale))
    tiles = [
        np.vstack([_strip(title, size[0]), cv2.resize(image, size, interpolation=cv2.INTER_AREA)])
        for title, image in panels
    ]
    rows = [grid(tiles, columns)]
    if note:
        rows.insert(0, _strip(note, rows[0].shape[1], (255, 200, 80)))
    if legend:
        rows.append(legend_image(legend, rows[0].shape[1]))
    return np.asarray(np.vstack(rows), np.uint8)


def _strip(text: str, width: int, color: RGB = (235, 235, 235)) -> NDArray[np.uint8]:
    strip = np.full((_STRIP, width, 3), 30, np.uint8)
    cv2.putText(strip, text, (6, 16), _FONT, 0.45, color, 1, cv2.LINE_AA)
    return strip


def legend_image(legend: Sequence[tuple[str, RGB]], width: int) -> NDArray[np.uint8]:
    """Names of classes beside their colors, uint8 [H,width,3] RGB."""
    columns = max(1, width // 130)
    rows = math.ceil(len(legend) / columns)
    sheet = np.full((rows * _STRIP, width, 3), 30, np.uint8)
    for index, (name, color) in enumerate(legend):
        x, y = index % columns * 130, index // columns * _STRIP
        cv2.rectangle(sheet, (x + 6, y + 5), (x + 18, y + 17), color, -1)
        cv2.putText(sheet, name, (x + 24, y + 16), _FONT, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return sheet
