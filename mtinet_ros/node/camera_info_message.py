# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to the camera model of one image, and back."""

from __future__ import annotations

import math

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import CameraModel

# Far beyond every lens, and far below where scaling a calibration would overflow.
_LARGEST = 1e12


def camera_model(info: CameraInfo, image_size: tuple[int, int]) -> CameraModel:
    """The model of the image that came with this calibration.

    CameraInfo describes the full sensor; the image is its region of interest, then binned.

    Args:
        info: As received.
        image_size: (height, width) of the image.

    Raises:
        InputError: The camera is not calibrated, the calibration is for another image size, or
            holds numbers that no lens has.

    An all-zero R, which some drivers send, is taken for none; so is an all-zero P, which is then K
    if the image is not distorted.
    """
    roi = info.roi
    binning = (max(info.binning_x, 1), max(info.binning_y, 1))
    # An all-zero ROI means the full sensor (sensor_msgs/CameraInfo).
    width = (roi.width or info.width) // binning[0]
    height = (roi.height or info.height) // binning[1]
    if (height, width) != image_size:
        raise InputError(
            f"its CameraInfo is for {width}x{height} pixels, the image has "
            f"{image_size[1]}x{image_size[0]}"
        )
    largest = max(abs(x) for x in (*info.k, *info.d, *info.r, *info.p))
    if _LARGEST < largest < math.inf:
        raise InputError(
            f"its CameraInfo holds a number of size {largest:g}, more than any lens has "
            f"({_LARGEST:g}); calibrate the camera"
        )
    full = CameraModel(
        width=info.width,
        height=info.height,
        K=np.array(info.k, np.float64).reshape(3, 3),
        D=np.array(info.d, np.float64),
        distortion_model=info.distortion_model,
        R=np.array(info.r if np.any(info.r) else np.eye(3), np.float64).reshape(3, 3),
        P=np.array(info.p, np.float64).reshape(3, 4),
    )
    if not full.has_projection and not full.is_distorted:
        full = full.rectified()  # image_geometry, and all that uses it, reads P alone
    scale = (1.0 / binning[0], 1.0 / binning[1])
    offset = (-roi.x_offset * scale[0], -roi.y_offset * scale[1])
    return full.resampled(scale, offset, (width, height))


def camera_info_message(camera: CameraModel, header: Header) -> CameraInfo:
    """The CameraInfo of an image that `camera` describes; ROI and binning are accounted for."""
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model,
        d=camera.D.tolist(),
        k=camera.K.ravel(),
        r=camera.R.ravel(),
        p=camera.P.ravel(),
    )
