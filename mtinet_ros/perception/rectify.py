# SPDX-License-Identifier: Apache-2.0
"""Taking the lens's distortion out of an image, as image_proc does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import CameraModel

# sensor_msgs/distortion_models.hpp, and the numbers of coefficients OpenCV takes for each. The
# first two are one model to OpenCV, and drivers mix up their names.
_COEFFICIENTS = {
    "plumb_bob": (4, 5, 8, 12, 14),
    "rational_polynomial": (4, 5, 8, 12, 14),
    "equidistant": (4,),
}


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
        allowed = _COEFFICIENTS.get(source.distortion_model)
        if allowed is None or source.D.size not in allowed:
            known = ", ".join(f"{name} ({n} numbers)" for name, n in _COEFFICIENTS.items())
            raise InputError(
                f"distortion model {source.distortion_model!r} with {source.D.size} coefficients "
                f"cannot be rectified; known: {known}. Set rectify: off, or rectify upstream"
            )
        self.source = source
        self.camera = source.rectified()
        size = (source.width, source.height)
        module: Any = cv2.fisheye if source.distortion_model == "equidistant" else cv2
        self._maps = module.initUndistortRectifyMap(
            source.K, source.D.reshape(-1, 1), source.R, self.camera.K, size, cv2.CV_16SC2
        )
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
