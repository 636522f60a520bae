# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera's view into an equirectangular panorama."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.camera_model import CameraModel


def pinhole_for_view(width: int, height: int, horizontal_fov: float) -> CameraModel:
    """A camera with square pixels and a centred axis; field of view in degrees."""
    focal = 0.5 * width / math.tan(math.radians(horizontal_fov) / 2)
    return CameraModel.pinhole(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def pinhole_view_of_panorama(
    panorama: NDArray[np.uint8], camera: CameraModel, yaw: float, pitch: float = 0.0
) -> NDArray[np.uint8]:
    """What `camera` sees from the panorama's centre.

    Args:
        panorama: uint8 [h,2h,3], equirectangular: its middle column is straight ahead.
        camera: An undistorted pinhole.
        yaw: Degrees to the right.
        pitch: Degrees up.

    Returns:
        uint8 [camera.height,camera.width,3].
    """
    x, y = camera.ray_slopes()
    right, down = np.meshgrid(x, y)
    tilt = math.radians(pitch)
    forward = math.cos(tilt) + down * math.sin(tilt)
    down = down * math.cos(tilt) - math.sin(tilt)
    azimuth = np.arctan2(right, forward) + math.radians(yaw)
    elevation = np.arctan2(down, np.hypot(right, forward))
    height, width = panorama.shape[:2]
    u = ((azimuth / (2 * np.pi) + 0.5) % 1.0) * width - 0.5
    v = (elevation / np.pi + 0.5) * height - 0.5
    # One column more at the right makes the seam interpolate like any other place.
    wrapped = np.hstack([panorama, panorama[:, :1]])
    view = cv2.remap(
        wrapped,
        (u % width).astype(np.float32),
        v.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(view, np.uint8)
