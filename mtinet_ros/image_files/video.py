# SPDX-License-Identifier: Apache-2.0
"""Opening a video file or a camera device."""

from __future__ import annotations

from pathlib import Path

import cv2

from mtinet_ros.errors import InputError


def open_video(path: Path) -> cv2.VideoCapture:
    """OpenCV's reader of a video; ask it whether it is opened.

    Raises:
        InputError: The name is in another encoding than the system's: OpenCV would crash.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"OpenCV opens no video whose name is not in UTF-8, as of {path}; rename it"
        ) from error
    return cv2.VideoCapture(name)
