# SPDX-License-Identifier: Apache-2.0
"""Surface normals from depth that is too coarse to subtract neighbours: planes fitted to windows.

A plane n·X = d is seen, along the ray r = (x, y, 1), at the inverse depth 1/z = (n/d)·r: linear in
the pixel's place. So a least-squares fit of 1/z over a window is a plane fit, and over all windows
of a size at once it is a handful of box filters. The largest window whose depth is a plane within
the steps of the data wins, if it crosses enough of them to tell how the plane is turned. Where
planes around a pixel disagree (creases, edges, curved and thin things) its normal is unknown.
evaluation/depth_normals.py measures what is left: half of the pixels, and those are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics

REFERENCE_FOCAL_LENGTH = 519.0
"""Pixels; sizes in pixels below are for it, and scaled for others: they are angles."""
WINDOWS = (81, 61, 41, 31, 23, 17, 13)
"""Sides of the windows, pixels, the largest first."""
SENSOR_NOISE = 0.0015
"""Deviation of a structured-light depth sensor, metres at one metre; it grows with the square
(Khoshelham and Oude Elberink, Sensors 2012)."""
TOLERANCE = 1.2
"""How far depth may be from a plane, root mean square, in deviations of step and noise."""
STEEPEST_ERROR = 0.5
"""Slope by which a plane may be turned unseen between the steps of depth."""
AGREEING_RADIUS = 7
"""Pixels around each within which normals must agree, …"""
MOST_SPREAD = 0.3
"""… in every component so far."""
_STEEPEST = np.cos(np.radians(80))
_MOST_ODD = 3.0


@dataclass(frozen=True, eq=False)
class _View:
    """Depth and what follows from it, [H, W] each.

    Attributes:
        inverse: 1/z, 0 where unknown.
        depth: Metres, 0 where unknown.
        known: Where depth is.
        x: Of the viewing rays with z = 1, like y.
        y: See x.
        uncertain: What depth is uncertain by, one deviation: a step's rounding and the noise.
        step: See `normals_from_depth`.
    """

    inverse: NDArray[np.float64]
    depth: NDArray[np.float64]
    known: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    uncertain: NDArray[np.float64]
    step: float


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
    scale = intrinsics.focal_length / REFERENCE_FOCAL_LENGTH
    view = _view(depth, intrinsics, step)
    planes = np.zeros((*depth.shape, 3))
    for window in WINDOWS:
        side = max(3, round(window * scale)) | 1
        if side <= min(depth.shape):
            fitted, flat = _fit(view, side)
            take = flat & ~planes.any(axis=-1)
            planes[take] = fitted[take]
    normals = _normals(planes)
    normals[_spread(normals, max(1, round(AGREEING_RADIUS * scale))) > MOST_SPREAD] = 0
    return normals


def _view(depth: NDArray[np.float32], intrinsics: Intrinsics, step: float) -> _View:
    known = depth > 0
    exact = np.where(known, depth, 0).astype(np.float64)
    inverse = np.divide(1.0, exact, out=np.zeros(depth.shape), where=known)
    y, x = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]].astype(np.float64)
    x = (x - intrinsics.cx) / intrinsics.focal_length
    y = (y - intrinsics.cy) / intrinsics.focal_length
    uncertain = np.hypot(step / np.sqrt(12), SENSOR_NOISE * exact**2)
    return _View(inverse, exact, known, x, y, uncertain, step)


def _normals(planes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Normals [H, W, 3] of planes (a, b, c) with 1/z = a x + b y + c; zero for zero."""
    length = np.linalg.norm(planes, axis=-1, keepdims=True)
    return np.asarray(0.0 - planes / np.maximum(length, 1e-9), np.float32)


def _fit(view: _View, side: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Planes (a, b, c) through the windows of `side` pixels, and where they fit."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_CONSTANT), np.float64
        )

    x, y, inverse, step = view.x, view.y, view.inverse, view.step
    mean_x, mean_y, mean_q = mean(x), mean(y), mean(inverse)
    # Windows are whole and known, so x and y are uncorrelated and vary alike everywhere.
    spacing = x[0, 1] - x[0, 0]
    variance = spacing**2 * (side**2 - 1) / 12
    a = (mean(x * inverse) - mean_x * mean_q) / variance
    b = (mean(y * inverse) - mean_y * mean_q) / variance
    c = mean_q - a * mean_x - b * mean_y
    # Variance of 1/z about the plane, then as a deviation of z. Of exact depth it is a difference
    # of 1e-14, against noise of 1e-6.
    rest = mean(inverse**2) - mean_q**2 - (a**2 + b**2) * variance
    middle = np.maximum(mean_q, 1e-6)
    deviation = np.sqrt(np.maximum(rest, 0.0)) / middle**2
    at_pixel = np.maximum(a * x + b * y + c, 1e-6)
    length = np.maximum(np.sqrt(a**2 + b**2 + c**2), 1e-9)
    facing = at_pixel / length / np.sqrt(x**2 + y**2 + 1)
    off = np.abs(1 / at_pixel - view.depth)
    # The ends of the window may be off by half a step each; every step crossed between tells more.
    crossed = (np.abs(a) + np.abs(b)) * spacing * side / middle**2
    turned = step / (side * spacing / middle) / np.maximum(1, crossed / max(step, 1e-9) - 1)
    half = side // 2
    whole = cv2.erode(
        view.known.astype(np.uint8), np.ones((side, side), np.uint8),
        borderType=cv2.BORDER_CONSTANT, borderValue=0,
    ).astype(bool)  # fmt: skip
    whole[:half], whole[-half:], whole[:, :half], whole[:, -half:] = (False,) * 4
    flat = (
        whole
        & (turned < STEEPEST_ERROR)
        & (deviation < TOLERANCE * view.uncertain)
        & (off < _MOST_ODD * view.uncertain + step / 2)
        & (facing > _STEEPEST)
    )
    return np.stack([a, b, c], axis=-1), flat


def _spread(normals: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """How far the known normals around each pixel differ, in the component that does most."""
    known = normals.any(axis=-1)
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    spread = np.zeros(known.shape, np.float32)
    for number in range(3):
        component = normals[..., number]
        most = cv2.dilate(np.where(known, component, np.float32(-1)), square)
        least = cv2.erode(np.where(known, component, np.float32(1)), square)
        np.maximum(spread, most - least, out=spread)
    return spread
