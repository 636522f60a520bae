# SPDX-License-Identifier: Apache-2.0
"""Seeded images with the statistics of photographs, for use without real ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SHAPES = 150


def synthetic_images(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Dead-leaves images: shapes of all sizes that hide one another, so edges and flat areas.

    Their statistics are close to those of natural images (Lee, Mumford and Huang, IJCV 2001).

    Args:
        count: Number of images.
        size: (height, width) in pixels.
        seed: The same seed gives the same images.

    Returns:
        uint8 [count,H,W,3] RGB.
    """
    random = np.random.default_rng(seed)
    images = np.empty((count, *size, 3), np.uint8)
    for image in images:
        image[...] = _dead_leaves(random, size)
    return images


def _dead_leaves(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    canvas = np.full((height, width, 3), random.uniform(60.0, 200.0, 3), np.float32)
    for radius in np.sort(max(size) / 2.0 * random.uniform(0.02, 1.0, _SHAPES) ** 2)[::-1]:
        center = (int(random.integers(width)), int(random.integers(height)))
        axes = (int(radius) + 1, int(radius * random.uniform(0.3, 1.0)) + 1)
        brightness = random.uniform(20.0, 235.0)
        color = tuple(float(c) for c in brightness + random.normal(0.0, 25.0, 3))
        cv2.ellipse(canvas, center, axes, random.uniform(0.0, 180.0), 0.0, 360.0, color, -1)
    # Light falls off across a room, and a sensor has noise.
    left, right = random.uniform(0.7, 1.2, 2)
    light = np.linspace(left, right, width, dtype=np.float32)
    noise = random.normal(0.0, 4.0, canvas.shape)
    return np.asarray((canvas * light[:, np.newaxis] + noise).clip(0.0, 255.0), np.uint8)
