# SPDX-License-Identifier: Apache-2.0
"""`Prediction`: the one dataclass that everything after the network speaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.camera_model import CameraModel


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network saw in one image; all arrays are of one size and aligned pixel by pixel.

    Attributes:
        image: uint8 [H,W,3] RGB, the picture at this size.
        labels: uint8 [H,W] class ids, 255 void. None here and below: no such task, or not asked.
        depth: float32 [H,W] along the optical axis, NaN: invalid; metres if `depth_is_metric`.
        normals: float32 [H,W,3] unit vectors in the camera optical frame, facing the viewer.
        confidence: uint8 [H,W], 255 = certain.
        camera: Camera model of these arrays (their size, their pixels); None without a CameraInfo.
        depth_is_metric: Whether depth is in metres (known lens) or up to an unknown scale.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None
    confidence: NDArray[np.uint8] | None = None
    camera: CameraModel | None = None
    depth_is_metric: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.image.shape[:2]
        return height, width
