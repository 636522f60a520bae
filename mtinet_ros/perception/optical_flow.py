# SPDX-License-Identifier: Apache-2.0
"""Where the points of one picture are in another, as far as the two pictures tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# A point is followed if the way there and back ends near where it began. The limit of Sundaram,
# Brox and Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow"
# (ECCV 2010), eq. 5: |w + w'|² < 0.01 (|w|² + |w'|²) + 0.5.
_RELATIVE, _ABSOLUTE = 0.01, 0.5


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the points of one picture are in another.

    Attributes:
        x: float32 [H,W], the column in the other picture of each pixel's point.
        y: float32 [H,W], its row.
        followed: bool [H,W], where both are to be trusted: the point is in the other picture and
            nothing covers it there.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    followed: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Share of the pixels that are followed."""
        return float(self.followed.mean())

    def nearest(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column of the other picture's nearest pixel, within the picture, [H,W] each."""
        height, width = self.followed.shape
        # Half away from the left and top, whatever the parity: rint would round to even.
        rows = np.floor(self.y + np.float32(0.5)).astype(np.intp).clip(0, height - 1)
        columns = np.floor(self.x + np.float32(0.5)).astype(np.intp).clip(0, width - 1)
        return rows, columns

    def sample(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The other picture's values (float32 [H,W]) at this picture's points.

        Bilinear; NaN where one of the pixels that are mixed is.
        """
        found = cv2.remap(
            values, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(found, np.float32)


class OpticalFlow:
    """Finds motion between pictures of one size; DIS flow (Kroeger et al., ECCV 2016)."""

    def __init__(self) -> None:
        """Prepare; keeps memory for the size of the pictures."""
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[Motion, Motion]:
        """Motion from one picture to the other, and back.

        Args:
            one: uint8 [H,W,3] RGB.
            other: uint8 [H,W,3] RGB.
        """
        first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (one, other))
        there, back = self._flow.calc(first, second, None), self._flow.calc(second, first, None)
        return _motion(there, back), _motion(back, there)


def _motion(there: NDArray[np.float32], back: NDArray[np.float32]) -> Motion:
    height, width = there.shape[:2]
    x = np.arange(width, dtype=np.float32) + there[..., 0]
    y = np.arange(height, dtype=np.float32)[:, np.newaxis] + there[..., 1]
    returning = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = np.square(there + returning).sum(axis=-1)
    length = np.square(there).sum(axis=-1) + np.square(returning).sum(axis=-1)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return Motion(x, y, inside & (miss < _RELATIVE * length + _ABSOLUTE))
