# SPDX-License-Identifier: Apache-2.0
"""Predictions beside the truth, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def montage(rows: Sequence[Sequence[Image]]) -> Image:
    """Lay out pictures of one size; shorter rows are filled with black."""
    columns = max(len(row) for row in rows)
    blank = np.zeros_like(rows[0][0])
    return np.concatenate(
        [np.concatenate([*row, *[blank] * (columns - len(row))], axis=1) for row in rows]
    )


def draw_labels(labels: NDArray[np.integer], palette: Sequence[Sequence[int]]) -> Image:
    """Class ids [H, W] in colours; ids beyond the palette (void) black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table[labels.astype(np.uint8)]


def draw_depth(depth: NDArray[np.float32], near: float = 0.5, far: float = 8.0) -> Image:
    """Metres [H, W] in colours, logarithmic, near red, far blue; unknown (0) black."""
    known = depth > 0
    scaled = np.log(np.clip(depth, near, far) / near) / np.log(far / near)
    colored = cv2.applyColorMap((255 * (1 - scaled)).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(known[..., None], cv2.cvtColor(colored, cv2.COLOR_BGR2RGB), 0).astype(np.uint8)


def draw_normals(normals: NDArray[np.float32]) -> Image:
    """Unit vectors [H, W, 3] in the usual look: facing the camera light blue; unknown black."""
    known = (normals != 0).any(-1, keepdims=True)
    colored = (normals * (1, -1, -1) + 1) * 127.5
    return np.where(known, np.clip(colored, 0, 255), 0).astype(np.uint8)


def write_png(path: str, image: Image) -> None:
    """Write an RGB picture."""
    cv2.imwrite(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
