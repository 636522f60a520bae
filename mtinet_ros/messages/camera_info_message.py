# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to the camera model of one image, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import FISHEYE, CameraModel, Matrix
from mtinet_ros.perception.distortion import canonical_distortion

# Far beyond every lens, and far below where scaling a calibration would overflow.
_LARGEST = 1e12

# What no lens has: fx over fy is 2 at most where a driver squashed the picture (one field of
# interlaced video); a pinhole's image does not span 170 degrees, nor a fisheye's a full turn.
_LARGEST_ASPECT = 3.0
_WIDEST_PINHOLE = math.radians(170.0)
_WIDEST_FISHEYE = math.radians(360.0)
_LARGEST_SKEW = 0.1  # of fx

# More pixels per calibrated one than this are no enlargement that a driver makes.
_LARGEST_ENLARGEMENT = 4


def camera_model(info: Any, image_size: tuple[int, int]) -> CameraModel:
    """The model of the image that came with this calibration.

    CameraInfo describes the full sensor; the image is its region of interest, then binned. If
    neither is set and the image is 2 to 4 times that size, the same in both directions, the
    calibration is scaled. (A smaller image may be a cut one, of which nobody knows the principal
    point.)

    Args:
        info: As received.
        image_size: (height, width) of the image.

    Raises:
        InputError: The camera is not calibrated, the calibration is for another image size, or
            holds numbers that no lens has.

    An all-zero R, which some drivers send, is taken for none. An all-zero P is then K if the image
    is not distorted; an all-zero K is P, as in image_geometry.
    """
    roi = info.roi
    binning = (max(info.binning_x, 1), max(info.binning_y, 1))
    enlargement = size_ratio(info, image_size)
    if enlargement == 0:
        height, width = calibrated_size(info)
        raise InputError(
            f"its CameraInfo is for {width}x{height} pixels, the image has "
            f"{image_size[1]}x{image_size[0]}"
        )
    full = _full_model(info)
    scale = (enlargement / binning[0], enlargement / binning[1])
    offset = (-roi.x_offset * scale[0], -roi.y_offset * scale[1])
    return full.resampled(scale, offset, (image_size[1], image_size[0]))


def calibration_kind(info: Any) -> tuple[int, ...]:
    """What images a calibration is for: a newer one for the same takes its place."""
    roi = info.roi
    return (
        *(info.width, info.height, info.binning_x, info.binning_y),
        *(roi.width, roi.height, roi.x_offset, roi.y_offset),
    )


def calibrated_size(info: Any) -> tuple[int, int]:
    """(height, width) of the image that a calibration is for: its region of interest, binned."""
    # An all-zero ROI means the full sensor (sensor_msgs/CameraInfo).
    return (
        (info.roi.height or info.height) // max(info.binning_y, 1),
        (info.roi.width or info.width) // max(info.binning_x, 1),
    )


def size_ratio(info: Any, image_size: tuple[int, int]) -> int:
    """Whole factor from the size that a calibration is for to an image's; 0: there is none.

    Args:
        info: As received; with a region of interest or binning the factor is 1 or 0.
        image_size: (height, width) of the image.
    """
    height, width = calibrated_size(info)
    if (height, width) == image_size:
        return 1 if height and width else 0
    is_whole = (height, width) == (info.height, info.width)
    has_offset = bool(info.roi.x_offset or info.roi.y_offset)
    for factor in range(2, _LARGEST_ENLARGEMENT + 1):
        if is_whole and not has_offset and image_size == (factor * height, factor * width):
            return factor
    return 0


def _full_model(info: Any) -> CameraModel:
    """The model of the full sensor. Raises `InputError` for numbers that no lens has."""
    # ROS 1 has capital letters.
    d, k, r, p = (getattr(info, x if hasattr(info, x) else x.upper()) for x in "dkrp")
    largest = max(abs(x) for x in (*k, *d, *r, *p))
    if _LARGEST < largest < math.inf:
        raise InputError(
            f"its CameraInfo holds a number of size {largest:g}, more than any lens has "
            f"({_LARGEST:g}); calibrate the camera"
        )
    K = np.array(k, np.float64).reshape(3, 3)
    P = np.array(p, np.float64).reshape(3, 4)
    model, D = canonical_distortion(info.distortion_model, np.array(d, np.float64))
    if not K[0, 0] and not K[1, 1] and P[0, 0] > 0:
        if np.any(D) or model == FISHEYE:
            raise InputError("the camera is not calibrated: K is zero, and the image is distorted")
        K = P[:, :3].copy()
    R = np.array(r if np.any(r) else np.eye(3), np.float64).reshape(3, 3)
    full = CameraModel(
        width=info.width,
        height=info.height,
        K=K,
        D=D,
        distortion_model=model,
        R=R,
        P=P,
    )
    _check_matrix("K", K, full, _WIDEST_FISHEYE if model == FISHEYE else _WIDEST_PINHOLE)
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0.0:
        raise InputError("the camera is not calibrated: R is no rotation")
    if full.has_projection:
        _check_matrix("P", P[:, :3], full, _WIDEST_PINHOLE)
    elif not full.is_distorted:
        full = full.rectified()  # image_geometry, and all that uses it, reads P alone
    return full


def _check_matrix(name: str, K: Matrix, camera: CameraModel, widest: float) -> None:
    """Refuse a placeholder: drivers without a calibration send ones, or memory's leftovers."""
    fx, fy = float(K[0, 0]), float(K[1, 1])
    size = f"{camera.width}x{camera.height}"
    below = (K[1, 0], K[2, 0], K[2, 1])
    if abs(K[2, 2] - 1.0) > 1e-6 or any(abs(value) > 1e-6 for value in below):
        raise InputError(
            f"the camera is not calibrated: {name}'s last row is {K[2].tolist()}, not [0, 0, 1], "
            "or there is a number below its diagonal"
        )
    if not 1.0 / _LARGEST_ASPECT <= fx / fy <= _LARGEST_ASPECT:
        raise InputError(
            f"the camera is not calibrated: {name}'s focal lengths are {fx:g} and {fy:g} pixels, "
            "which no lens has"
        )
    is_fisheye = widest > math.pi
    for extent, focal_length in ((camera.width, fx), (camera.height, fy)):
        half = extent / 2.0 / focal_length
        if (2.0 * half if is_fisheye else 2.0 * math.atan(half)) > widest:
            raise InputError(
                f"the camera is not calibrated: {name}'s focal length of {focal_length:g} pixels "
                f"gives an image of {size} pixels a field of view that no lens has"
            )
    cx, cy = float(K[0, 2]), float(K[1, 2])
    is_near = abs(cx - camera.width / 2) <= 1.5 * camera.width
    is_near = is_near and abs(cy - camera.height / 2) <= 1.5 * camera.height
    if not is_near or cx == cy == 0.0:
        raise InputError(
            f"the camera is not calibrated: {name}'s principal point is ({cx:g}, {cy:g}) in an "
            f"image of {size} pixels"
        )
    if abs(K[0, 1]) > _LARGEST_SKEW * fx:
        raise InputError(
            f"the camera is not calibrated: {name}'s skew is {K[0, 1]:g} pixels, which no lens has"
        )


def camera_info_fields(camera: CameraModel) -> dict[str, Any]:
    """What the CameraInfo of an image that `camera` describes says, all but its header.

    ROI and binning are accounted for, and so as a new message has them.
    """
    return {
        "width": camera.width,
        "height": camera.height,
        "distortion_model": camera.distortion_model,
        "d": camera.D.ravel(),
        "k": camera.K.ravel(),
        "r": camera.R.ravel(),
        "p": camera.P.ravel(),
    }
