# SPDX-License-Identifier: Apache-2.0
"""How a video is to be turned for showing: the display matrix that phones write."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Further from a quarter turn than this is no inaccuracy of the 16.16 fixed-point numbers.
_TOLERANCE = 1.0  # degrees


@dataclass(frozen=True)
class Orientation:
    """A picture's way from the sensor to upright: transposed, then mirrored.

    Attributes:
        transposed: Rows become columns.
        mirrored: Left and right change places, after that.
        upside_down: Top and bottom change places, after that.
        angle_left: Degrees by which the matrix turns beyond these; 0 but for odd files.
    """

    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False
    angle_left: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.transposed or self.mirrored or self.upside_down

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Image [h,w,...] as it is to be shown, contiguous."""
        if self.transposed:
            image = image.swapaxes(0, 1)
        if self.mirrored:
            image = image[:, ::-1]
        if self.upside_down:
            image = image[::-1]
        return np.ascontiguousarray(image)


def orientation_of(matrix: bytes) -> Orientation:
    """What a display matrix asks for.

    Args:
        matrix: Nine int32 in native order, FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX: (a b u, c d v,
            x y w), by which a pixel (p, q) comes to (a·p + c·q + x, b·p + d·q + y), as in the
            track header of ISO/IEC 14496-12.
    """
    a, b, _, c, d, _ = (float(number) for number in np.frombuffer(matrix, np.int32)[:6])
    if not (math.hypot(a, b) and math.hypot(c, d)):
        return Orientation()
    transposed = abs(b) > abs(a)
    along = (c, b) if transposed else (a, d)
    angle = math.degrees(math.atan2(b, a))
    left = angle - 90.0 * round(angle / 90.0)
    return Orientation(
        transposed, along[0] < 0.0, along[1] < 0.0, left if abs(left) > _TOLERANCE else 0.0
    )
