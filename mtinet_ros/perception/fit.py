# SPDX-License-Identifier: Apache-2.0
"""Bringing a camera image to the network's size, and what comes out of the network back again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.model_contract import FIT_MODES, RGB
from mtinet_ros.perception.camera_model import CameraModel

# How much larger than the result an image must be after halving: the rest is averaged exactly.
_REMAINS = 1.5

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Fit:
    """How an image of one size lies inside the network's input.

    Attributes:
        image_size: (height, width) of the camera image.
        network_size: (height, width) of the network's input.
        scale: Ideal (x, y) scale from camera to network pixels; equal for letterbox.
        content_size: (height, width) of the image inside the network's input.
        offset: (y, x) of its first pixel there; the rest is padding.
    """

    image_size: tuple[int, int]
    network_size: tuple[int, int]
    scale: tuple[float, float]
    content_size: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def plan(cls, image_size: tuple[int, int], network_size: tuple[int, int], mode: str) -> Fit:
        """Work out the fit.

        Args:
            image_size: (height, width) of the camera image.
            network_size: (height, width) of the network's input.
            mode: `letterbox` keeps the aspect ratio and pads both sides; `stretch` fills.

        Raises:
            InputError: The image is empty, or so long and thin that nothing of it would be left.
            ConfigurationError: `mode` is neither.
        """
        (height, width), (net_height, net_width) = image_size, network_size
        if height < 1 or width < 1:
            raise InputError(f"the image is empty ({width}x{height} pixels)")
        ratio_y, ratio_x = net_height / height, net_width / width
        if mode == "stretch":
            return cls(image_size, network_size, (ratio_x, ratio_y), network_size, (0, 0))
        if mode != "letterbox":
            raise ConfigurationError(f"fit is {mode!r}; allowed: {', '.join(FIT_MODES)}")
        scale = min(ratio_x, ratio_y)
        content = (
            min(net_height, math.floor(height * scale + 0.5)),
            min(net_width, math.floor(width * scale + 0.5)),
        )
        if 0 in content:
            raise InputError(
                f"the image ({width}x{height} pixels) is too long and thin for a network input of "
                f"{net_width}x{net_height}; crop it before it is published, or use fit: stretch"
            )
        offset = ((net_height - content[0]) // 2, (net_width - content[1]) // 2)
        return cls(image_size, network_size, (scale, scale), content, offset)

    @property
    def is_stretched(self) -> bool:
        """Whether x and y are scaled differently, so that metric depth is only approximate."""
        return not math.isclose(self.scale[0], self.scale[1], rel_tol=1e-6)

    @property
    def shrunk_size(self) -> tuple[int, int]:
        """(height, width) of the image once it is averaged, before any axis grows."""
        (height, width), (content_height, content_width) = self.image_size, self.content_size
        return min(content_height, height), min(content_width, width)

    @property
    def halvings(self) -> int:
        """How often the image is halved first: as long as it stays well above its shrunk size.

        OpenCV averages squares of 2x2 pixels many times faster than areas of other sizes: what
        brings 1920x1080 to 352x198 takes half of the time. Pixels at the borders of the areas
        count in pairs then, which softens an edge by up to an eighth of its step in one pixel of
        the result, and does not move it.
        """
        (height, width), (least_height, least_width) = self.image_size, self.shrunk_size
        count = 0
        while (
            width > 2 * _REMAINS * least_width
            and height > 2 * _REMAINS * least_height
            and height % 2 == width % 2 == 0
        ):
            height, width, count = height // 2, width // 2, count + 1
        return count

    def apply(self, image: NDArray[np.uint8], out: NDArray[np.uint8], pad_color: RGB) -> None:
        """Write `image` (uint8 [h,w,3]) as the network sees it into `out` (uint8 [H,W,3])."""
        height, width = self.content_size
        (top, left), (bottom, right) = (
            self.offset,
            (self.offset[0] + height, self.offset[1] + width),
        )
        for border in (out[:top], out[bottom:], out[top:bottom, :left], out[top:bottom, right:]):
            if border.size:
                border[...] = pad_color
        # Area averaging keeps thin things visible, but OpenCV only averages where no axis grows:
        # so first whatever shrinks, then whatever grows.
        fitted: NDArray[Any] = image
        shrunk = self.shrunk_size[::-1]
        for _ in range(self.halvings):
            half = (fitted.shape[1] // 2, fitted.shape[0] // 2)
            fitted = cv2.resize(fitted, half, interpolation=cv2.INTER_AREA)
        if shrunk != (fitted.shape[1], fitted.shape[0]):
            fitted = cv2.resize(fitted, shrunk, interpolation=cv2.INTER_AREA)
        if shrunk != (width, height):
            fitted = cv2.resize(fitted, (width, height), interpolation=cv2.INTER_LINEAR)
        self.crop(out)[...] = fitted

    def crop(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """The part of a network-sized array ([H,W] or [H,W,C]) that shows the image, as a view."""
        (y, x), (height, width) = self.offset, self.content_size
        return array[y : y + height, x : x + width]

    def content_camera(self, camera: CameraModel) -> CameraModel:
        """Camera model of the cropped content, given the camera's own.

        The exact ratio of sizes is used, rounding included, so that back-projection is exact.
        """
        (height, width), (image_height, image_width) = self.content_size, self.image_size
        scale = (width / image_width, height / image_height)
        return camera.resampled(scale, (0.0, 0.0), (width, height))

    def effective_focal_length(self, camera: CameraModel) -> float:
        """Focal length in network pixels that decides depth: fx·s.

        √(fx·sx·fy·sy) where the network sees x and y at different scales, because the image is
        stretched here or was squashed by its driver.
        """
        fx, fy = camera.focal_lengths
        if not self.is_stretched and camera.has_square_pixels:
            return fx * self.scale[0]
        return math.sqrt(fx * self.scale[0] * fy * self.scale[1])
