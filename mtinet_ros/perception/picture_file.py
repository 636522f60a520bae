# SPDX-License-Identifier: Apache-2.0
"""Reading pictures from files and writing results, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import decode_picture
from mtinet_ros.output_files import replace_file

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file, upright, as uint8 [h,w,3] RGB. Raises `InputError` naming the file."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"cannot read picture {path}: {error.strerror}") from error
    try:
        return decode_picture(data, upright=True)
    except InputError as error:
        raise InputError(f"{path} {error}") from error


def list_pictures(path: Path) -> list[Path]:
    """The picture itself, or all pictures of a folder by name. Raises `InputError` if none."""
    if not path.is_dir():
        return [path]
    pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise InputError(f"the folder {path} holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return pictures


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write uint8 [h,w,3] RGB, uint8 [h,w] or uint16 [h,w] as PNG.

    Raises:
        InputError: The file cannot be written; nothing half-written is left.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    write_whole(path, cv2.imencode(".png", pixels)[1].tobytes())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there, so that nobody reads half of it.

    Raises:
        InputError: It cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
