# SPDX-License-Identifier: Apache-2.0
"""Thinning: from areas to lines of one pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def _kept(second: bool) -> NDArray[np.uint8]:
    """By code of the eight neighbours, 0 where a pass of thinning takes the pixel away, else 1.

    East is bit 0 of a code, the others follow counter-clockwise.
    """
    table = np.zeros(256, np.uint8)
    for code in range(256):
        x = [bool(code >> bit & 1) for bit in range(8)]
        crossings = sum(not x[i] and (x[i + 1] or x[(i + 2) % 8]) for i in range(0, 8, 2))
        pairs = min(
            sum(x[i] or x[i + 1] for i in range(0, 8, 2)),
            sum(x[i + 1] or x[(i + 2) % 8] for i in range(0, 8, 2)),
        )
        if second:
            keeps_end = (x[5] or x[6] or not x[3]) and x[4]
        else:
            keeps_end = (x[1] or x[2] or not x[7]) and x[0]
        table[code] = crossings != 1 or not 2 <= pairs <= 3 or keeps_end
    return table


_PASSES = (_kept(second=False), _kept(second=True))


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A mask thinned to lines of one pixel.

    Guo and Hall, "Parallel thinning with two-subiteration algorithms", CACM 32(3), 1989, algorithm
    A1, as restated by Lam, Lee and Suen, PAMI 14(9), 1992. So do scikit-image's `thin` and, by its
    description, MATLAB's `bwmorph(mask, 'thin', Inf)`.

    Args:
        mask: bool [h, w].

    Returns:
        uint8 [h, w], 1 on the lines.

    >>> thinned(np.ones((3, 5), bool)).tolist()
    [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    """
    height, width = mask.shape
    image = np.zeros((height + 2, width + 2), np.uint8)
    image[1:-1, 1:-1] = mask
    flat, row = image.ravel(), width + 2
    around = np.array([1, 1 - row, -row, -row - 1, -1, row - 1, row, row + 1])
    # A pixel needs to be looked at by a pass only if a neighbour has gone since the last time.
    outer = image > cv2.erode(image, np.ones((3, 3), np.uint8))  # all that can go at first
    pending = np.stack([outer.ravel()] * 2)
    while pending.any():
        for table, waiting in zip(_PASSES, pending, strict=True):
            pixels = np.flatnonzero(waiting)
            waiting[pixels] = False
            pixels = pixels[flat[pixels] > 0]
            codes = np.zeros(len(pixels), np.uint8)
            for bit, step in enumerate(around):
                codes |= flat[pixels + step] << bit
            gone = pixels[table[codes] == 0]
            flat[gone] = 0
            pending[:, gone[:, None] + around] = True
    return np.array(image[1:-1, 1:-1], np.uint8)
