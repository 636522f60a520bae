# SPDX-License-Identifier: Apache-2.0
"""Several pictures with titles on one sheet, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.visualization.colors import LabelColors, colorize_depth, colorize_normals

UNTRAINED_NOTE = "RANDOM WEIGHTS: this shows that everything runs, not what a trained model sees"

Panel = tuple[str, NDArray[np.uint8]]

_STRIP = 22  # height of a title strip, pixels
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def prediction_panels(prediction: Prediction, card: ModelCard) -> list[Panel]:
    """A titled picture of the input and of everything the prediction holds."""
    panels: list[Panel] = [("image", prediction.image)]
    if prediction.labels is not None:
        overlay = LabelColors(card.palette).overlay(prediction.image, prediction.labels)
        panels.append(("segmentation", overlay))
    if prediction.depth is not None:
        panels.append((depth_title(prediction.depth), colorize_depth(prediction.depth)))
    if prediction.normals is not None:
        panels.append(("normals", colorize_normals(prediction.normals)))
    return panels


def depth_title(depth: NDArray[np.float32]) -> str:
    """The range of a depth image in words."""
    valid = depth[np.isfinite(depth)]
    return f"depth {valid.min():.2f} to {valid.max():.2f}" if valid.size else "depth (none valid)"


def montage(
    panels: Sequence[Panel],
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
    note: str = "",
    columns: int = 2,
) -> NDArray[np.uint8]:
    """Lay titled pictures out in columns.

    Args:
        panels: Title and uint8 [h,w,3] RGB; all are brought to the size of the first.
        legend: Class name and colour, shown below.
        note: A line at the top, e.g. a warning that the weights are random.
        columns: Pictures side by side.

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
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    if note:
        rows.insert(0, _strip(note, rows[0].shape[1], (255, 200, 80)))
    if legend:
        rows.append(_legend(legend, rows[0].shape[1]))
    return np.asarray(np.vstack(rows), np.uint8)


def _strip(
    text: str, width: int, color: tuple[int, int, int] = (235, 235, 235)
) -> NDArray[np.uint8]:
    strip = np.full((_STRIP, width, 3), 30, np.uint8)
    cv2.putText(strip, text, (6, 16), _FONT, 0.45, color, 1, cv2.LINE_AA)
    return strip


def _legend(legend: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> NDArray[np.uint8]:
    columns = max(1, width // 130)
    rows = math.ceil(len(legend) / columns)
    sheet = np.full((rows * _STRIP, width, 3), 30, np.uint8)
    for index, (name, color) in enumerate(legend):
        x, y = index % columns * 130, index // columns * _STRIP
        cv2.rectangle(sheet, (x + 6, y + 5), (x + 18, y + 17), color, -1)
        cv2.putText(sheet, name, (x + 24, y + 16), _FONT, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return sheet
