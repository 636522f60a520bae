# SPDX-License-Identifier: Apache-2.0
"""The markers of a JPEG file (ITU-T T.81, annex B), and what libjpeg says of its data."""

from __future__ import annotations

import re

from mtinet_ros.errors import InputError
from mtinet_ros.image_files.structure import Structure

# Where the entropy-coded data of a scan ends: a marker that is no stuffed byte, fill or restart.
_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))  # stuffed byte, TEM, RST0 to RST7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive

# Warnings of libjpeg after which pixels are wrong. What it says of a JFIF version, an ICC profile
# or the parameters of a sequential scan is common and changes no pixel.
_DAMAGE = re.compile(
    r"Corrupt JPEG data: (?:premature end of data segment|bad \w+ code|found marker .*)"
    r"|Premature end of JPEG file|Inconsistent progression sequence .*"
)
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker .*")
# Webcams pad their restart intervals and ends: a Logitech C270 by 1 to 29 bytes in every frame
# (libavg#782, opencv#9477), with not a pixel wrong. What a hole leaves over is mostly longer.
_MOST_PADDING = 64


def jpeg_structure(content: bytes) -> Structure:
    """Follow the markers from SOI to EOI.

    As libjpeg does, bytes between segments that are no marker are skipped: some cameras' lengths
    are wrong.

    Raises:
        InputError: They lead past the end, or to the beginning of another picture; the message is
            to follow the file's name.
    """
    at = 2
    frame = width = height = scanned = 0
    while True:
        at = content.find(b"\xff", at)
        while 0 <= at < len(content) and content[at] == 0xFF:
            at += 1
        if not 0 <= at < len(content):
            raise cut_short(content)
        marker, at = content[at], at + 1
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _EOI:
            break
        if marker == _SOI:
            raise InputError(
                f"is a damaged jpeg: another picture begins at byte {at - 2}, before its own end"
            )
        length = int.from_bytes(content[at : at + 2], "big")
        if marker in _FRAMES and at + 7 <= len(content):
            if frame:
                raise InputError(f"is a damaged jpeg: a second frame begins at byte {at - 2}")
            frame = marker
            height = int.from_bytes(content[at + 3 : at + 5], "big")
            width = int.from_bytes(content[at + 5 : at + 7], "big")
        at += length
        if marker == _SOS:
            end = _END_OF_SCAN.search(content, at)
            if end is None:
                raise cut_short(content)
            scanned += end.start() - at
            at = end.start()
    # Huffman coding spends a bit or more on each block of 8x8; arithmetic coding may spend less.
    capacity = scanned * 8 * 64 if frame in _HUFFMAN_FRAMES else width * height
    return Structure(width, height, at, capacity)


def cut_short(content: bytes) -> InputError:
    """The error for a JPEG without an end."""
    return InputError(f"is a jpeg that was cut short ({len(content)} bytes)")


def jpeg_damage(printed: str) -> str:
    """What is wrong with the pixels, from what libjpeg printed; empty if nothing is.

    It prints the first warning of a picture only: damage behind a harmless one stays unseen.
    """
    for line in printed.splitlines():
        padding = _EXTRANEOUS.fullmatch(line)
        if _DAMAGE.fullmatch(line) or (padding and int(padding[1]) > _MOST_PADDING):
            return line
    return ""
