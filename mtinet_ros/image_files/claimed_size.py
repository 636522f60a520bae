# SPDX-License-Identifier: Apache-2.0
"""The size that a JPEG or PNG says it has, from its first bytes alone."""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.image_files.decoding import image_file_format

# From one marker of a JPEG to the next; none of these is followed by a length.
_MARKER = re.compile(rb"\xff+([^\x00\xff\x01\xd0-\xd8])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_DATA = frozenset((0xDA, 0xD9))  # SOS, EOI: a frame is before them


def claimed_size(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Height and width in the header of an image file; whether the rest is whole is not asked.

    Args:
        data: uint8 [n], the file's content.

    Returns:
        None if it is no JPEG or PNG, or its header is cut short.
    """
    kind = image_file_format(data)
    if kind == "png":
        header = data[16:24].tobytes()  # behind the signature and the start of IHDR
        if len(header) < 8:
            return None
        width, height = struct.unpack(">II", header)
        return height, width
    return _size_of_jpeg(data.data) if kind == "jpeg" else None


def _size_of_jpeg(content: memoryview) -> tuple[int, int] | None:
    at = 2
    while found := _MARKER.search(content, at):
        marker, at = found[1][0], found.end()
        if marker in _DATA or at + 7 > len(content):
            return None
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 3)
            return height, width
        at += int.from_bytes(content[at : at + 2], "big")
    return None
