# SPDX-License-Identifier: Apache-2.0
"""What the demonstration's camera shows: pictures, a folder of them, a video or a device."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.demo.panorama import pinhole_for_view, pinhole_view_of_panorama
from mtinet_ros.errors import InputError
from mtinet_ros.image_files import IMAGE_SUFFIXES, list_images, open_video, read_image, read_images
from mtinet_ros.install_paths import share_directory
from mtinet_ros.perception.camera_model import CameraModel

Shot = tuple[NDArray[np.uint8], CameraModel | None]

KINECT_FOCAL_LENGTH = 521.2
"""Of the Kinect's colour camera, pixels, from the recording's own calibration."""
OFFICE_LENS = (535.4, 539.2, 320.1, 247.6)
"""fx, fy, cx, cy of the office's camera, pixels (TUM RGB-D benchmark, fr3)."""
_STILL_FRAMES = 5
_PAN_STEP = 3.0  # degrees per frame: 15 degrees a second at 5 Hz


def open_source(spec: str) -> Iterator[Shot]:
    """Endless pictures with their camera models (None where the lens is not known).

    Args:
        spec: Empty for the bundled pictures; else a picture, a folder of pictures, a video file,
            or a camera device such as /dev/video0.

    Yields:
        uint8 [h,w,3] RGB and a camera model or None.

    Raises:
        InputError: There is no such thing, or it cannot be opened.
    """
    if not spec:
        return _bundled()
    path = Path(spec)
    if not path.exists():
        raise InputError(
            f"the source {spec} does not exist; give a picture, a folder of pictures, a video or "
            "a device such as /dev/video0"
        )
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return itertools.cycle(_pictures(list_images(path)))
    return _video(path)


def _pictures(paths: list[Path]) -> list[Shot]:
    """Every picture that can be read; the others are named, and an error if none is left."""
    bad: list[InputError] = []
    shots: list[Shot] = [(image, None) for _, image in read_images(paths, bad.append)]
    if not shots:
        raise bad[0]
    for error in bad:
        print(f"left out: {error}", file=sys.stderr)
    return shots


def _bundled() -> Iterator[Shot]:
    """A bookshelf and an office for a second each, then once around a hotel room, and again."""
    stills = (kinect_shot(), office_shot())
    while True:
        for still in stills:
            yield from itertools.repeat(still, _STILL_FRAMES)
        yield from hotel_room_shots(_PAN_STEP)


def bundled_samples() -> list[NDArray[np.uint8]]:
    """A few of the bundled images, uint8 [480,640,3] RGB: both stills and views of the room."""
    # A slow pan: more would show the same again.
    views = hotel_room_shots(18 * _PAN_STEP)
    return [image for image, _ in (kinect_shot(), office_shot(), *views)]


def kinect_shot() -> Shot:
    """The bundled frame of a real Kinect, a bookshelf, with its lens."""
    bookshelf = read_image(bundled_images() / "kinect_bookshelf.png")
    height, width = bookshelf.shape[:2]
    center = ((width - 1) / 2, (height - 1) / 2)
    return bookshelf, CameraModel.pinhole(
        width, height, KINECT_FOCAL_LENGTH, KINECT_FOCAL_LENGTH, *center
    )


def office_shot() -> Shot:
    """The bundled frame of a real office, two desks and chairs, with its lens."""
    desks = read_image(bundled_images() / "office_desk.jpg")
    height, width = desks.shape[:2]
    return desks, CameraModel.pinhole(width, height, *OFFICE_LENS)


def hotel_room_shots(step: float) -> Iterator[Shot]:
    """Once around the bundled panorama of a real hotel room, a view every `step` degrees."""
    room = read_image(bundled_images() / "hotel_room_panorama.jpg")
    panning = pinhole_for_view(640, 480, horizontal_fov=75.0)
    for yaw in np.arange(0.0, 360.0, step):
        yield pinhole_view_of_panorama(room, panning, float(yaw), pitch=-8.0), panning


def bundled_images() -> Path:
    """The folder of the bundled pictures."""
    return share_directory() / "demo" / "pictures"


def _video(path: Path) -> Iterator[Shot]:
    capture = open_video(path)
    if not capture.isOpened():
        raise InputError(
            f"OpenCV cannot open {path}; for a device, check that it is a camera and that you may "
            "read it (group video), for a file, that it is a video"
        )
    return _frames(capture, path)


def _frames(capture: cv2.VideoCapture, path: Path) -> Iterator[Shot]:
    seen = 0
    while True:
        ok, frame = capture.read()
        if ok:
            seen += 1
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), None
        elif seen and capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
            seen = 0
        else:
            raise InputError(f"{path} gives no more pictures")
