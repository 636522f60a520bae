# SPDX-License-Identifier: Apache-2.0
"""Image files: reading, with checks for damaged, truncated and huge ones, and writing."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.output_files import file_errors, write_file

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

# Larger than any camera's frame; what lies above is corrupt or hostile, not an image.
MAX_PIXELS = 2**28

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"

# Last bytes of a whole file; some cameras pad behind them.
_END = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}
_MOST_PADDING = 1024


def image_file_format(data: NDArray[np.uint8]) -> str:
    """`jpeg`, `png`, or empty for anything else, by the first bytes."""
    start = data[:8].tobytes()
    if start.startswith(_JPEG):
        return "jpeg"
    return "png" if start == _PNG else ""


def decode_image_file(data: NDArray[np.uint8], upright: bool) -> NDArray[np.uint8]:
    """Decode a compressed image to RGB.

    Args:
        data: uint8 [n], the file's content.
        upright: Turn the image as its EXIF orientation says, as people expect of a photograph;
            False: rows as the sensor gave them, as the camera's calibration expects.

    Returns:
        uint8 [h,w,3] RGB.

    Raises:
        InputError: A JPEG or PNG that is damaged, cut short or too large, or a format that OpenCV
            does not read; the message is to follow the file's name.
    """
    kind = image_file_format(data)
    if kind:
        # The libraries would quietly fill what is missing with gray.
        if _END[kind] not in data[-_MOST_PADDING:].tobytes():
            raise InputError(f"is a {kind} that was cut short ({data.size} bytes)")
        width, height = _png_size(data) if kind == "png" else _jpeg_size(data)
        if not 0 < width * height <= MAX_PIXELS:
            raise InputError(
                f"is a {kind} of {width}x{height} pixels; from 1 to {MAX_PIXELS} are allowed"
            )
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        raise InputError(f"cannot be decoded by OpenCV: {error.err}") from error
    if image is None:
        what = f"is a damaged {kind}" if kind else "is no picture that OpenCV can read (jpeg, png)"
        raise InputError(f"{what} ({data.size} bytes)")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file, upright, as uint8 [h,w,3] RGB.

    Raises:
        InputError: It cannot be read; the message names it.
    """
    with file_errors(f"read picture {path}", InputError):
        data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        return decode_image_file(data, upright=True)
    except InputError as error:
        raise InputError(f"{path} {error}") from error


def list_images(path: Path) -> list[Path]:
    """The file itself, or all images of a folder, sorted by name.

    Raises:
        InputError: The folder holds none.
    """
    if not path.is_dir():
        return [path]
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise InputError(f"the folder {path} holds no pictures ({', '.join(IMAGE_SUFFIXES)})")
    return images


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write uint8 [h,w,3] RGB, uint8 [h,w] or uint16 [h,w] as PNG.

    Raises:
        InputError: The file cannot be written; nothing half-written is left.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    write_file(path, cv2.imencode(".png", pixels)[1].tobytes())


def _png_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) from IHDR, which a PNG must begin with; (0, 0) if it is not there."""
    width, height = struct.unpack(">II", data[16:24].tobytes().ljust(8, b"\0"))
    return width, height


def _jpeg_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) from the frame header (ITU-T T.81, B.2.2); (0, 0) without one."""
    at = 2
    while at + 9 <= data.size and data[at] == 0xFF:
        marker = int(data[at + 1])
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9].tobytes())
            return width, height
        else:
            at += 2 + int(data[at + 2]) * 256 + int(data[at + 3])
    return 0, 0
