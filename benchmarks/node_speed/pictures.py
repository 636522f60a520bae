# SPDX-License-Identifier: Apache-2.0
"""What the cameras show: views of a room, with the camera's number and a frame counter in them.

Four gray squares on the middle row carry the mark. They survive any resizing that leaves them a
few pixels wide, so that whoever runs the network can tell which frames it was given.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.demo.panorama import pinhole_view_of_panorama
from mtinet_ros.perception.camera_model import CameraModel

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 3  # different ones per camera, shown in turn
CAMERAS = 8
_PITCHES = (-15.0, 0.0, 15.0)
# Where the squares' middles are, as shares of the width, and what they hold, as a byte each.
_PLACES = (0.35, 0.45, 0.55, 0.65)
_SIDE = 24  # one square's, as a share of the height: 1/24 each way from its middle


def camera_of(size: tuple[int, int], network_size: tuple[int, int], focal: float) -> CameraModel:
    """A pinhole camera of (height, width) whose depth the network gives without scaling."""
    (height, width), (net_height, net_width) = size, network_size
    focal /= min(net_height / height, net_width / width)
    return CameraModel.pinhole(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def views(number: int, camera: CameraModel) -> list[NDArray[np.uint8]]:
    """The pictures of camera `number`, uint8 [h,w,3] BGR each, without marks."""
    path = ROOT / "demo/pictures/hotel_room_panorama.jpg"
    panorama = np.asarray(cv2.imread(str(path)), np.uint8)
    yaw = 360.0 / CAMERAS * number
    return [pinhole_view_of_panorama(panorama, camera, yaw, pitch) for pitch in _PITCHES]


def write_mark(image: NDArray[np.uint8], number: int, counter: int) -> None:
    """Paint camera number and counter (modulo 65536) into an image [h,w,3]."""
    height, width = image.shape[:2]
    half = height // _SIDE
    values = (number, counter & 255, counter >> 8 & 255, 255)
    for place, value in zip(_PLACES, values, strict=True):
        x = int(width * place)
        image[height // 2 - half : height // 2 + half, x - half : x + half] = value


def read_mark(image: NDArray[np.uint8]) -> tuple[int, int]:
    """(camera number, counter) of an image as painted, or as the network is given it."""
    height, width = image.shape[:2]
    number, low, high = (int(image[height // 2, int(width * place), 0]) for place in _PLACES[:3])
    return number, low | high << 8
