# SPDX-License-Identifier: Apache-2.0
"""Pinhole camera geometry: sensor_msgs/CameraInfo as arrays, and how it follows the image.

Pixel coordinates follow ROS and OpenCV: the centre of the first pixel is (0, 0). Scaling an image
by s therefore moves a coordinate u to (u + 0.5)·s − 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError

# The name of the fisheye lens in sensor_msgs/distortion_models.hpp.
FISHEYE = "equidistant"

_STRAIGHT_AT_ZERO = ("plumb_bob", "rational_polynomial")

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Intrinsics of one image, in pixels of that very image (ROI and binning already applied).

    Attributes:
        width: Image width.
        height: Image height.
        K: float64 [3,3] intrinsic matrix of the raw (distorted) image.
        D: float64 [n] distortion coefficients; empty or all zero: none, but for a fisheye lens.
        distortion_model: Name as in sensor_msgs/distortion_models.hpp: `plumb_bob`,
            `rational_polynomial`, or `equidistant` for a fisheye lens (r = f·θ where D is zero).
        R: float64 [3,3] rectifying rotation.
        P: float64 [3,4] projection matrix of the rectified image.
    """

    width: int
    height: int
    K: Matrix
    D: Matrix = field(default_factory=lambda: np.zeros(0))
    distortion_model: str = "plumb_bob"
    R: Matrix = field(default_factory=lambda: np.eye(3))
    P: Matrix = field(default_factory=lambda: np.zeros((3, 4)))

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: Not finite, or no positive focal length (uncalibrated cameras send 0).
        """
        numbers = np.concatenate([m.ravel() for m in (self.K, self.D, self.R, self.P)])
        if not np.isfinite(numbers).all():
            raise InputError(
                "the camera's calibration holds NaN or infinity; calibrate the camera"
            )
        if not (self.K[0, 0] > 0 and self.K[1, 1] > 0):
            raise InputError(
                f"the camera is not calibrated: focal lengths are {self.K[0, 0]:g} and "
                f"{self.K[1, 1]:g} pixels, both must be positive"
            )

    @classmethod
    def pinhole(
        cls, width: int, height: int, fx: float, fy: float, cx: float, cy: float
    ) -> CameraModel:
        """An undistorted camera; focal lengths and principal point in pixels."""
        K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        return cls(width, height, K, P=np.hstack([K, np.zeros((3, 1))]))

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines are bent in this image, as far as anybody knows.

        Coefficients of zero mean none with these two models; of a fisheye they do not, and of
        others nobody here can tell.
        """
        return self.distortion_model not in _STRAIGHT_AT_ZERO or bool(np.any(self.D))

    @property
    def has_square_pixels(self) -> bool:
        """Whether fx and fy agree to 2 %, more than any calibration is off by."""
        fx, fy = self.focal_lengths
        return abs(fx / fy - 1.0) < 0.02

    @property
    def focal_lengths(self) -> tuple[float, float]:
        """fx and fy in pixels, of K."""
        return float(self.K[0, 0]), float(self.K[1, 1])

    @property
    def has_other_projection(self) -> bool:
        """Whether P describes another image than K: another focal length or a turned one."""
        return self.has_projection and not (
            np.allclose(self.P[:, :3], self.K, rtol=1e-6, atol=1e-6)
            and np.allclose(self.R, np.eye(3), atol=1e-9)
        )

    @property
    def has_projection(self) -> bool:
        """Whether P is given; some drivers leave it zero."""
        return bool(self.P[0, 0] > 0 and self.P[1, 1] > 0)

    def resampled(
        self, scale: tuple[float, float], offset: tuple[float, float], size: tuple[int, int]
    ) -> CameraModel:
        """The model after scaling and then shifting the image.

        Args:
            scale: (sx, sy), new size over old.
            offset: (x, y) pixels added after scaling: padding positive, cropping negative.
            size: (width, height) of the new image.
        """
        (sx, sy), (dx, dy) = scale, offset
        shift = np.array(
            [[sx, 0.0, 0.5 * sx - 0.5 + dx], [0.0, sy, 0.5 * sy - 0.5 + dy], [0.0, 0.0, 1.0]]
        )
        # P's fourth column is (−fx·baseline, −fy·baseline, 0): the same product rescales it.
        return replace(self, width=size[0], height=size[1], K=shift @ self.K, P=shift @ self.P)

    def rectified(self) -> CameraModel:
        """The model of the undistorted image: K from P where P is given, no distortion, R = 1."""
        K = self.P[:, :3].copy() if self.has_projection else self.K
        P = self.P if self.has_projection else np.hstack([K, np.zeros((3, 1))])
        return replace(self, K=K, D=np.zeros(5), distortion_model="plumb_bob", R=np.eye(3), P=P)

    def ray_slopes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x/z of every column (float32 [width]) and y/z of every row (float32 [height]).

        Depth times slope is the pixel's 3-D coordinate in the optical frame. From P where it is
        given, as image_geometry and so depth_image_proc have it.
        """
        matrix = self.P if self.has_projection else self.K
        x = (np.arange(self.width) - matrix[0, 2]) / matrix[0, 0]
        y = (np.arange(self.height) - matrix[1, 2]) / matrix[1, 1]
        return x.astype(np.float32), y.astype(np.float32)
