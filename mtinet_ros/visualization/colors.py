# SPDX-License-Identifier: Apache-2.0
"""Classes, depth and normals as RGB images, by table look-up, never by a loop over pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import RGB

# Share of the class color in the overlay.
_OVERLAY_ALPHA = 0.5

# OpenCV's scalars have four numbers, whatever the image.
_NORMAL_SCALE = np.array([127.5, -127.5, -127.5, 0.0])
_NORMAL_OFFSET = np.full(4, 127.5)


class LabelColors:
    """Colors of label maps, from the palette of a model or a data set; all other ids are black."""

    def __init__(self, palette: Sequence[RGB]) -> None:
        """Take the palette, one RGB color per class id."""
        self._table = np.zeros((256, 3), np.uint8)
        self._table[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)

    def colorize(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label map uint8 [H,W] as uint8 [H,W,3] RGB."""
        return np.asarray(cv2.applyColorMap(labels, self._table.reshape(256, 1, 3)), np.uint8)

    def overlay(self, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image (uint8 [H,W,3] RGB) tinted by class, for checking alignment by eye."""
        color = self.colorize(labels)
        return np.asarray(
            cv2.addWeighted(image, 1.0 - _OVERLAY_ALPHA, color, _OVERLAY_ALPHA, 0.0), np.uint8
        )


def colorize_normals(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unit normals float32 [H,W,3] in the usual look, uint8 [H,W,3] RGB.

    ((nx, −ny, −nz) + 1) / 2: right is red, up is green, facing the camera is light blue. Unknown
    normals (NaN, or of length zero as in ground truth) are black.
    """
    scaled = cv2.multiply(normals, _NORMAL_SCALE)
    cv2.patchNaNs(scaled, -127.5)
    color = np.asarray(cv2.add(scaled, _NORMAL_OFFSET, dtype=cv2.CV_8U), np.uint8)
    # Only a vector shorter than 0.01 is gray, and this is the cheapest way to find it in what is
    # made for every frame of a camera.
    gray = cv2.inRange(color, (128, 128, 128), (128, 128, 128))
    color[gray > 0] = 0
    return color


def depth_range(*depths: NDArray[np.float32]) -> tuple[float, float] | None:
    """The range of depth that colors are spread over.

    Args:
        depths: float32 [H,W] each, in one unit; NaN or 0: unknown.

    Returns:
        The 1 % and 99 % quantiles of all known depths together; None where none is known.
    """
    known = [depth[_is_known(depth)] for depth in depths]
    if not any(values.size for values in known):
        return None
    near, far = np.quantile(np.concatenate(known), (0.01, 0.99))
    return float(near), float(far)


def colorize_depth(
    depth: NDArray[np.float32], near_far: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Inverse depth as uint8 [H,W,3] RGB: near is bright, far is dark, unknown is black.

    Args:
        depth: float32 [H,W] in any unit; NaN or 0: unknown.
        near_far: The depths of the brightest and of the darkest color, 0 < near <= far, in the
            unit of `depth`; give the same to images that are to be compared. None: the
            `depth_range` of this one.
    """
    known = _is_known(depth)
    near_far = near_far or depth_range(depth)
    if near_far is None:
        return np.zeros((*depth.shape, 3), np.uint8)
    near, far = near_far
    # Inverse depth spreads the colors where a robot cares: close by.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (1.0 / depth - 1.0 / far) / max(1.0 / near - 1.0 / far, 1e-6)
    gray = (np.nan_to_num(share).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    color = cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    color[~known] = 0
    return np.asarray(color, np.uint8)


def _is_known(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.isfinite(depth) & (depth > 0)
