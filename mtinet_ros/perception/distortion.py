# SPDX-License-Identifier: Apache-2.0
"""Distortion models as drivers name and fill them, and how far from the axis each one holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import FISHEYE, CameraModel

# sensor_msgs/distortion_models.hpp, and the numbers of coefficients OpenCV takes for each. The
# first two are one model to OpenCV, and drivers mix up their names.
COEFFICIENTS = {
    "plumb_bob": (4, 5, 8, 12, 14),
    "rational_polynomial": (4, 5, 8, 12, 14),
    FISHEYE: (4,),
}

# Other names that are met: camera_calibration's of old, Kalibr's, librealsense's, and none at all,
# where drivers of ROS 1 meant plumb_bob.
_SYNONYMS = {
    "": "plumb_bob",
    "radtan": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "equi": FISHEYE,
    "fisheye": FISHEYE,
    "kannala_brandt4": FISHEYE,
}
# Names that say that there is none.
_UNDISTORTED = ("none", "pinhole")

_SAMPLES = 4096
_FURTHEST = np.pi  # the steepest ray of a fisheye lens, as an angle


def canonical_distortion(
    name: str, coefficients: NDArray[np.float64]
) -> tuple[str, NDArray[np.float64]]:
    """The distortion under the name and with the number of coefficients that OpenCV takes.

    Trailing zeros beyond the largest fitting number are cut; what stays unknown comes back as it
    was, and is refused by `check_distortion` where it matters.

    Args:
        name: As in CameraInfo, e.g. `plumb_bob`, `fisheye` or empty.
        coefficients: float64 [n].

    Example:
        >>> canonical_distortion("fisheye", np.array([0.1, 0.0, 0.0, 0.0, 0.0]))[1].size
        4
    """
    canonical = name.strip().lower().replace(" ", "_")
    canonical = _SYNONYMS.get(canonical, canonical)
    if canonical in _UNDISTORTED and not np.any(coefficients):
        return "plumb_bob", np.zeros(5)
    allowed = COEFFICIENTS.get(canonical)
    if allowed is None:
        return name, coefficients
    if not np.any(coefficients):
        return canonical, np.zeros(4 if canonical == FISHEYE else coefficients.size)
    fitting = [n for n in allowed if n <= coefficients.size and not np.any(coefficients[n:])]
    return canonical, coefficients[: max(fitting)] if fitting else coefficients


def check_distortion(camera: CameraModel) -> None:
    """Refuse distortion that cannot be undone.

    Raises:
        InputError: The model is unknown, or has another number of coefficients.
    """
    allowed = COEFFICIENTS.get(camera.distortion_model)
    if allowed is None or camera.D.size not in allowed:
        known = ", ".join(f"{name} ({n} numbers)" for name, n in COEFFICIENTS.items())
        raise InputError(
            f"distortion model {camera.distortion_model!r} with {camera.D.size} coefficients "
            f"cannot be rectified; known: {known}. Set rectify: off, or rectify upstream"
        )


def largest_slope(camera: CameraModel) -> float:
    """Largest x/z of a ray, in any direction, at which the distortion is still one to one.

    A distortion polynomial was fitted within the image. Further out it may fold back, so that rays
    far outside of the view seem to come from within the image: they show nothing.

    Returns:
        The slope where the distorted radius stops growing; infinite if it never does.
    """
    if camera.distortion_model == FISHEYE:
        angles = np.linspace(0.0, _FURTHEST, _SAMPLES)
        squares = angles**2
        k1, k2, k3, k4 = camera.D
        radii = angles * (1 + squares * (k1 + squares * (k2 + squares * (k3 + squares * k4))))
        fold = _first_fold(radii)
        return np.inf if fold is None or angles[fold] >= np.pi / 2 else float(np.tan(angles[fold]))
    # Beyond 85° from the axis a rectified image has no pixels worth the name.
    slopes = np.linspace(0.0, np.tan(np.radians(85.0)), _SAMPLES * 4)
    squares = slopes**2
    k1, k2, _, _, k3, k4, k5, k6 = np.pad(camera.D[:8], (0, max(0, 8 - camera.D.size)))
    numerator = 1 + squares * (k1 + squares * (k2 + squares * k3))
    denominator = 1 + squares * (k4 + squares * (k5 + squares * k6))
    # A pole is a fold too: what lies beyond it comes from the other side.
    pole = np.flatnonzero(denominator <= 0.0)
    end = int(pole[0]) if pole.size else slopes.size
    fold = _first_fold(slopes[:end] * numerator[:end] / denominator[:end])
    if fold is not None:
        return float(slopes[fold])
    return np.inf if end == slopes.size else float(slopes[end])


def _first_fold(radii: NDArray[np.float64]) -> int | None:
    """Index of the last radius before they stop growing; None if they grow to the end."""
    falling = np.flatnonzero(np.diff(radii) <= 0.0)
    return int(falling[0]) if falling.size else None
