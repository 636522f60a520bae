# SPDX-License-Identifier: Apache-2.0
"""Photographs for an export: to calibrate int8, and to measure the accuracy of a precision."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import IMAGE_SUFFIXES, list_images, open_video, read_images
from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.fit import Fit

# Ranges of activations settle long before this; more only takes time.
MAX_IMAGES = 64


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
    source: Path, report: Callable[[str], None] = lambda line: None
) -> list[NDArray[np.uint8]]:
    """Images of a folder, a file or a video.

    Args:
        source: A folder of images, one image or a video.
        report: Called with a line for each picture that cannot be read; the others are taken.

    Returns:
        uint8 [h,w,3] RGB each, at most `MAX_IMAGES`, spread evenly over the source.

    Raises:
        InputError: There are none, or none can be read.
    """
    if not source.exists():
        raise InputError(
            f"calibration {source} does not exist; give a folder of pictures, a picture or a video"
        )
    if source.is_dir() or source.suffix.lower() in IMAGE_SUFFIXES:
        bad: list[InputError] = []
        paths = _spread(list_images(source))
        images = [image for _, image in read_images(paths, bad.append)]
        for error in bad:
            report(f"note: left out: {error}")
        if not images:
            raise bad[0]
        return images
    frames = _video(source)
    if not frames:
        raise InputError(
            f"OpenCV reads no picture from {source}: it is no video that this OpenCV knows"
        )
    return frames


def _video(path: Path) -> list[NDArray[np.uint8]]:
    capture = open_video(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    step = max(1, count // MAX_IMAGES)
    frames: list[NDArray[np.uint8]] = []
    for number in itertools.count():
        ok, frame = capture.read()
        if not ok or len(frames) == MAX_IMAGES:
            return frames
        if number % step == 0:
            frames.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
    return frames


def _spread(paths: list[Path]) -> list[Path]:
    if len(paths) <= MAX_IMAGES:
        return paths
    return [paths[i] for i in np.linspace(0, len(paths) - 1, MAX_IMAGES).astype(int)]
