# SPDX-License-Identifier: Apache-2.0
"""Surface normals from depth that is too coarse to subtract neighbours: planes fitted to windows.

A plane n·X = d is seen, along the ray r = (x, y, 1), at the inverse depth 1/z = (n/d)·r: linear in
the pixel's place. So a least-squares fit of 1/z over a window is a plane fit, and over all windows
of a size at once it is a handful of box filters. The largest window whose depth is a plane within
the steps of the data wins; where none is (edges, curved and thin things), the normal is unknown.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics

WINDOWS = (81, 61, 41, 31, 23, 17, 13)
"""Sides of the windows at `REFERENCE_FOCAL_LENGTH`, pixels, the largest first."""
REFERENCE_FOCAL_LENGTH = 519.0
STEEPEST_ERROR = 0.2
SENSOR_NOISE = 0.0015
"""Deviation of a structured-light depth sensor, metres at one metre; it grows with the square
(Khoshelham and Oude Elberink, Sensors 2012)."""
TOLERANCE = 1.4
_STEEPEST = np.cos(np.radians(80))
_MOST_ODD = 3.0


def normals_from_depth(
    depth: NDArray[np.float32], intrinsics: Intrinsics, step: float
) -> NDArray[np.float32]:
    """Normals where depth is flat.

    Args:
        depth: float32 [H, W], metres along the optical axis, 0 where unknown.
        intrinsics: Of these pixels.
        step: Distance between two depths that the data can tell apart, metres; 0: exact depth.

    Returns:
        float32 [H, W, 3], unit vectors in the camera optical frame that face the viewer; zero
        where depth is unknown or not flat, or the surface is seen within 10 degrees of its plane.
    """
    rows, columns = depth.shape
    known = depth > 0
    inverse = np.zeros(depth.shape)
    np.divide(1.0, depth, out=inverse, where=known)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    x = (x - intrinsics.cx) / intrinsics.focal_length
    y = (y - intrinsics.cy) / intrinsics.focal_length
    # What depth is uncertain by, one deviation: a step's rounding and the sensor's noise.
    uncertain = np.hypot(step / np.sqrt(12), SENSOR_NOISE * depth.astype(np.float64) ** 2)
    normals = np.zeros((rows, columns, 3))
    open_ = known.copy()
    for window in WINDOWS:
        side = max(3, round(window * intrinsics.focal_length / REFERENCE_FOCAL_LENGTH)) | 1
        if side > min(rows, columns):
            continue
        fitted, flat = _fit(inverse, known, x, y, uncertain, step, side)
        take = flat & open_
        normals[take] = fitted[take]
        open_ &= ~take
    return np.asarray(normals, np.float32)


def _fit(
    inverse: NDArray[np.float64],
    known: NDArray[np.bool_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    uncertain: NDArray[np.float64],
    step: float,
    side: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Planes through the windows of `side` pixels: their normals, and where they fit."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_CONSTANT), np.float64
        )

    mean_x, mean_y, mean_q = mean(x), mean(y), mean(inverse)
    # Windows are whole and known, so x and y are uncorrelated and vary alike everywhere.
    spacing = x[0, 1] - x[0, 0]
    variance = spacing**2 * (side**2 - 1) / 12
    a = (mean(x * inverse) - mean_x * mean_q) / variance
    b = (mean(y * inverse) - mean_y * mean_q) / variance
    c = mean_q - a * mean_x - b * mean_y
    # Variance of 1/z about the plane, then as a deviation of z.
    rest = mean(inverse**2) - mean_q**2 - (a**2 + b**2) * variance
    at_pixel = np.maximum(a * x + b * y + c, 1e-6)
    deviation = np.sqrt(np.maximum(rest, 0.0)) / np.maximum(mean_q, 1e-6) ** 2
    length = np.sqrt(a**2 + b**2 + c**2)
    length = np.maximum(length, 1e-9)
    facing = at_pixel / length / np.sqrt(x**2 + y**2 + 1)
    off = np.abs(1 / at_pixel - np.divide(1, inverse, out=np.zeros_like(inverse), where=known))
    half = side // 2
    whole = cv2.erode(
        known.astype(np.uint8), np.ones((side, side), np.uint8),
        borderType=cv2.BORDER_CONSTANT, borderValue=0,
    ).astype(bool)  # fmt: skip
    whole[:half], whole[-half:], whole[:, :half], whole[:, -half:] = (False,) * 4
    # Depth that crosses fewer than two steps may be turned by as much as a step across the window.
    width = side * spacing / np.maximum(mean_q, 1e-6)
    crossed = (np.abs(a) + np.abs(b)) * spacing * side / np.maximum(mean_q, 1e-6) ** 2
    turned = step / width / np.maximum(1.0, crossed / max(step, 1e-9))
    flat = (
        whole
        & (turned < STEEPEST_ERROR)
        & (deviation < TOLERANCE * uncertain)
        & (off < _MOST_ODD * uncertain + step / 2)
        & (facing > _STEEPEST)
    )
    normals = -np.stack([a, b, c], -1) / length[..., None]
    return normals, flat
