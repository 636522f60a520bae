# SPDX-License-Identifier: Apache-2.0
"""Real pictures for an export: to calibrate int8, and to measure what a precision costs."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.demo.sources import open_source
from mtinet_ros.errors import InputError
from mtinet_ros.image_files import PICTURE_SUFFIXES, list_pictures, read_picture
from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.fit import Fit

# Ranges of activations settle long before this; more only takes time.
MOST_PICTURES = 64
# The bundled pictures are a second of one view and then a slow pan: a few are enough to tell.
_BUNDLED_FRAMES, _BUNDLED_STEP = 125, 18


def load_pictures(source: Path | None, card: ModelCard) -> NDArray[np.uint8]:
    """Pictures as the network will see them.

    Args:
        source: A folder of pictures, one picture or a video; None: the bundled pictures.
        card: Decides the size, and how pictures are fitted to it.

    Returns:
        uint8 [N,H,W,3] RGB, at most `MOST_PICTURES`, spread evenly over the source.

    Raises:
        InputError: There are none, or one cannot be read.
    """
    pictures = _bundled() if source is None else _given(source)
    height, width = card.input_size
    fitted = np.empty((len(pictures), height, width, 3), np.uint8)
    for picture, out in zip(pictures, fitted, strict=True):
        Fit.plan(picture.shape[:2], card.input_size, card.fit).apply(picture, out, card.pad_color)
    return fitted


def _bundled() -> list[NDArray[np.uint8]]:
    frames = itertools.islice(open_source(""), 0, _BUNDLED_FRAMES, _BUNDLED_STEP)
    return [picture for picture, _ in frames]


def _given(source: Path) -> list[NDArray[np.uint8]]:
    if not source.exists():
        raise InputError(
            f"calibration {source} does not exist; give a folder of pictures, a picture or a video"
        )
    if source.is_dir() or source.suffix.lower() in PICTURE_SUFFIXES:
        return [read_picture(path) for path in _spread(list_pictures(source))]
    frames = _video(source)
    if not frames:
        raise InputError(
            f"OpenCV reads no picture from {source}: it is no video that this OpenCV knows"
        )
    return frames


def _video(path: Path) -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    step = max(1, count // MOST_PICTURES)
    frames: list[NDArray[np.uint8]] = []
    for number in itertools.count():
        ok, frame = capture.read()
        if not ok or len(frames) == MOST_PICTURES:
            return frames
        if number % step == 0:
            frames.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
    return frames


def _spread(paths: list[Path]) -> list[Path]:
    if len(paths) <= MOST_PICTURES:
        return paths
    return [paths[i] for i in np.linspace(0, len(paths) - 1, MOST_PICTURES).astype(int)]
