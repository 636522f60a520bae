# SPDX-License-Identifier: Apache-2.0
"""Pictures for an export: to calibrate int8, and to measure the accuracy of a precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.fit import Fit
from mtinet_ros.recordings.frame import RecordedFrame
from mtinet_ros.recordings.sampling import spread_frames

# Ranges of activations settle long before this; more only takes time.
MAX_IMAGES = 64
# With fewer they may not have.
_ENOUGH_IMAGES = 20
# Of so many, those are chosen.
_LOOKED_AT = 3 * MAX_IMAGES
# Pictures are alike whose thumbnails of this size (width, height) differ by less than so many gray
# levels in the mean. Noise of a sensor makes far less of that; moving by a hand's breadth, more.
_THUMBNAIL = (32, 24)
_ALIKE = 1.5


def fit_images(images: Sequence[NDArray[np.uint8]], card: ModelCard) -> NDArray[np.uint8]:
    """Images as the network takes them.

    Args:
        images: uint8 [h,w,3] RGB each, of any sizes.
        card: Decides the size, and how images are fitted to it.

    Returns:
        uint8 [N,H,W,3] RGB.
    """
    height, width = card.input_size
    fitted = np.empty((len(images), height, width, 3), np.uint8)
    for image, out in zip(images, fitted, strict=True):
        Fit.plan(image.shape[:2], card.input_size, card.fit).apply(image, out, card.pad_color)
    return fitted


def read_calibration_images(
    path: Path,
    report: Callable[[str], None] = lambda line: None,
    topics: Sequence[str] = (),
) -> list[NDArray[np.uint8]]:
    """Pictures of a recording as the network would get them: upright, rectified.

    They are spread evenly over its time, over all cameras of a bag, and pictures that show nearly
    the same as one before, as of a robot that stands still, are left out.

    Args:
        path: A bag, a video, a folder of pictures or a picture.
        report: Called with a line on what was taken, and for each picture that cannot be read.
        topics: Of a bag: the images to take; none: of all cameras.

    Returns:
        uint8 [h,w,3] RGB each, at most `MAX_IMAGES`.

    Raises:
        InputError: There are none, or none can be read.
        ConfigurationError: A package is not installed, or topics are named of no bag.
    """
    from mtinet_ros.recordings.open import SourceOptions, open_source

    if not path.exists():
        raise InputError(
            f"calibration {path} does not exist; give a bag, a video, a folder of pictures or a "
            "picture"
        )
    source = open_source(path, SourceOptions(tuple(topics), topics_option="--calibration-topics"))
    try:
        bad: list[str] = []
        images, alike = _distinct(spread_frames(source, _LOOKED_AT), bad)
        for problem in (*(f"left out: {error}" for error in bad), *source.problems):
            report(f"note: {problem}")
    finally:
        source.close()
    if not images:
        raise InputError(bad[0] if bad else f"{path} holds no pictures")
    chosen = [images[i] for i in np.linspace(0, len(images) - 1, MAX_IMAGES).astype(int)]
    if len(images) <= MAX_IMAGES:
        chosen = images
    report(
        f"calibration: {len(chosen)} pictures, spread over {path}"
        + (f"; {alike} show nearly the same as others and were left out" if alike else "")
    )
    if len(chosen) < _ENOUGH_IMAGES:
        report(
            f"note: {len(chosen)} pictures that differ are few; ranges of int8 settle with "
            f"{_ENOUGH_IMAGES} and more"
        )
    return chosen


def _distinct(
    frames: Iterable[RecordedFrame], bad: list[str]
) -> tuple[list[NDArray[np.uint8]], int]:
    """Pictures that differ, and how many were left out because they do not."""
    images: list[NDArray[np.uint8]] = []
    thumbnails: list[NDArray[np.float32]] = []
    alike = 0
    for frame in frames:
        try:
            image = frame.decode().image
        except InputError as error:
            bad.append(str(error))
            continue
        thumbnail = cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        if any(float(np.abs(thumbnail - other).mean()) < _ALIKE for other in thumbnails):
            alike += 1
            continue
        images.append(image)
        thumbnails.append(thumbnail)
    return images, alike
