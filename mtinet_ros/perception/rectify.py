# SPDX-License-Identifier: Apache-2.0
"""Taking the lens's distortion out of an image, as image_proc does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.camera_model import FISHEYE, CameraModel
from mtinet_ros.perception.distortion import check_distortion, largest_slope


class Rectifier:
    """Undistorts the images of one camera; the maps are computed once.

    Attributes:
        source: Model of the images that come in.
        camera: Model of the images that go out: no distortion.
        valid_mask: bool [h,w], where the outgoing images show something; elsewhere they are black.
    """

    def __init__(self, source: CameraModel) -> None:
        """Compute the maps.

        Raises:
            InputError: The distortion model is unknown, or has another number of coefficients.
        """
        check_distortion(source)
        self.source = source
        self.camera = source.rectified()
        size = (source.width, source.height)
        module: Any = cv2.fisheye if source.distortion_model == FISHEYE else cv2
        x, y = module.initUndistortRectifyMap(
            source.K, source.D.reshape(-1, 1), source.R, self.camera.K, size, cv2.CV_32FC1
        )
        x[self._is_beyond_the_fold()] = -1e4  # off the image
        self._maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
        self.valid_mask = self.apply(np.full((source.height, source.width), 255, np.uint8)) == 255

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Image uint8 [h,w(,3)] of `source` as `camera` sees it; black where nothing was seen."""
        x, y = self._maps
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR), np.uint8)

    def fits(self, camera: CameraModel) -> bool:
        """Whether the maps hold for this model (a calibration may change at run time)."""
        mine = self.source
        return (
            (mine.width, mine.height) == (camera.width, camera.height)
            and mine.distortion_model == camera.distortion_model
            and all(
                np.array_equal(getattr(mine, matrix), getattr(camera, matrix))
                for matrix in ("K", "D", "R", "P")
            )
        )

    def _is_beyond_the_fold(self) -> NDArray[np.bool_]:
        """bool [h,w]: pixels whose rays the distortion model does not hold for."""
        slope_x, slope_y = self.camera.ray_slopes()
        rays = np.stack(np.broadcast_arrays(slope_x, slope_y[:, np.newaxis], np.float32(1.0)))
        x, y, z = np.einsum("ji,jhw->ihw", self.source.R, rays)  # into the raw camera's frame
        # Behind the camera, or so far off the axis that the polynomial has folded back.
        return np.asarray((z <= 0.0) | (np.hypot(x, y) > largest_slope(self.source) * z))
