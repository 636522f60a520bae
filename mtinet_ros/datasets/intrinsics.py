# SPDX-License-Identifier: Apache-2.0
"""Pinhole cameras of training data: square pixels, no distortion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera; pixel centres are at integer coordinates.

    Attributes:
        focal_length: Pixels, the same in x and y.
        cx: Column of the principal point.
        cy: Row of the principal point.
    """

    focal_length: float
    cx: float
    cy: float

    @staticmethod
    def centered(focal_length: float, height: int, width: int) -> Intrinsics:
        """A camera whose principal point is the middle of its image."""
        return Intrinsics(focal_length, (width - 1) / 2, (height - 1) / 2)

    def resized(self, scale: float) -> Intrinsics:
        """The intrinsics of the image resized by `scale`: edges, not centres, of pixels meet."""
        return Intrinsics(
            self.focal_length * scale,
            (self.cx + 0.5) * scale - 0.5,
            (self.cy + 0.5) * scale - 0.5,
        )

    def matrix(self) -> NDArray[np.float64]:
        """The camera matrix K, 3×3."""
        return np.array(
            [[self.focal_length, 0, self.cx], [0, self.focal_length, self.cy], [0, 0, 1.0]]
        )
