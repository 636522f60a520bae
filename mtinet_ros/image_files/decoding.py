# SPDX-License-Identifier: Apache-2.0
"""The content of an image file to pixels, or the reason why not."""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.image_files.avif import avif_orientation, is_avif, is_heic
from mtinet_ros.image_files.decoder_log import decode_with_log
from mtinet_ros.image_files.jpeg import jpeg_damage, jpeg_structure
from mtinet_ros.image_files.png import png_structure, png_without_notes

# Larger than any camera's frame; what lies above is corrupt or hostile, not an image.
MAX_PIXELS = 2**28

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"


def image_file_format(data: NDArray[np.uint8]) -> str:
    """`jpeg`, `png`, or empty for anything else, by the first bytes."""
    start = data[:8].tobytes()
    if start.startswith(_JPEG):
        return "jpeg"
    return "png" if start == _PNG else ""


def decode_image_file(data: NDArray[np.uint8], upright: bool) -> NDArray[np.uint8]:
    """Decode a compressed image to RGB.

    Args:
        data: uint8 [n], the file's content; what lies behind the end of a JPEG or PNG is ignored.
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
        content = data.tobytes()
        data = data[: _checked_end(content, kind)]
        if kind == "png":
            content = content[: data.size]  # no copy where nothing lies behind
            bare = png_without_notes(content)
            data = data if bare is content else np.frombuffer(bare, np.uint8)
    turn_avif = upright and is_avif(data)  # OpenCV leaves that to its caller
    flags = cv2.IMREAD_COLOR
    if turn_avif or not upright:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image, printed = decode_with_log(data, flags) if data.size else (None, "")
    except cv2.error as error:
        raise InputError(f"cannot be decoded by OpenCV: {_one_line(error.err)}") from error
    damage = jpeg_damage(printed) if kind == "jpeg" else ""
    if damage:
        raise InputError(f"is a damaged jpeg ({data.size} bytes): {damage}")
    if image is None:
        if is_heic(data):
            raise InputError("is a HEIC picture, which OpenCV does not read; convert it to jpeg")
        what = f"is a damaged {kind}" if kind else "is no picture that OpenCV can read (jpeg, png)"
        reason = _one_line(printed)
        raise InputError(f"{what} ({data.size} bytes){': ' if reason else ''}{reason}")
    pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return avif_orientation(data.tobytes()).apply(pixels) if turn_avif else pixels


def _checked_end(content: bytes, kind: str) -> int:
    """Bytes of the picture, once its structure and size are known to be possible."""
    structure = jpeg_structure(content) if kind == "jpeg" else png_structure(content)
    width, height = structure.width, structure.height
    if not 0 < width * height <= MAX_PIXELS:
        raise InputError(
            f"is a {kind} of {width}x{height} pixels; from 1 to {MAX_PIXELS} are allowed"
        )
    if width * height > structure.capacity:
        raise InputError(
            f"is a {kind} that was cut short: its data is too little for {width}x{height} pixels"
        )
    return structure.end


def _one_line(text: str) -> str:
    """The first line that a library printed, without OpenCV's stamps of time and place."""
    line = text.strip().partition("\n")[0]
    line = re.sub(r"^.* error: \([^)]*\) |^\[[A-Z ]+:\S*\] global \S+ \S+ ", "", line)
    return re.sub(r" in function '\w+'$", "", line).rstrip(" .")
