# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: every output as RGB, by table look-up, never by a loop over pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_card import RGB

# Share of the class colour in the overlay.
_OVERLAY_ALPHA = 0.5


class LabelColors:
    """Colours label maps by a model card's palette; void and unknown ids are black."""

    def __init__(self, palette: Sequence[RGB]) -> None:
        """Take the palette, one RGB colour per class id."""
        self._table = np.zeros((256, 3), np.uint8)
        self._table[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)

    def colorize(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label map uint8 [H,W] as uint8 [H,W,3] RGB."""
        return np.take(self._table, labels, axis=0)

    def overlay(self, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (uint8 [H,W,3] RGB) tinted by class, for checking alignment by eye."""
        color = self.colorize(labels)
        return np.asarray(
            cv2.addWeighted(image, 1.0 - _OVERLAY_ALPHA, color, _OVERLAY_ALPHA, 0.0), np.uint8
        )


def colorize_normals(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unit normals float32 [H,W,3] in the usual look, uint8 [H,W,3] RGB.

    ((nx, −ny, −nz) + 1) / 2: right is red, up is green, facing the camera is light blue; NaN is
    black.
    """
    scaled = normals * np.array([127.5, -127.5, -127.5], np.float32) + np.float32(127.5)
    clean = np.nan_to_num(scaled, copy=False, nan=0.0)
    return np.asarray(clean.clip(0.0, 255.0).round(), np.uint8)


def colorize_depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Depth float32 [H,W] in any unit as uint8 [H,W,3] RGB: near is bright, NaN is black.

    The 1 % and 99 % quantiles of the valid depths get the brightest and the darkest colour.
    """
    valid = np.isfinite(depth)
    if not valid.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    near, far = np.quantile(depth[valid], (0.01, 0.99))
    # Inverse depth spreads the colours where a robot cares: close by.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (1.0 / depth - 1.0 / far) / max(1.0 / near - 1.0 / far, 1e-6)
    gray = (np.nan_to_num(share).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    color = cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    color[~valid] = 0
    return np.asarray(color, np.uint8)
