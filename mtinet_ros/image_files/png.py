# SPDX-License-Identifier: Apache-2.0
"""The chunks of a PNG file (PNG specification, third edition, clauses 5 and 11)."""

from __future__ import annotations

import struct
import zlib

from mtinet_ros.errors import InputError
from mtinet_ros.image_files.structure import Structure

_HEADER = struct.Struct(">II")  # length and type; data and a CRC follow
_FRAME = 12  # bytes of a chunk without its data
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_MOST_DEFLATED = 1032  # bytes that a byte of deflate can become

# Ancillary chunks that are handed to the decoder: those that it needs for pixels and orientation,
# and small ones that most files have. Others hold texts and profiles of which it makes nothing,
# but which it unpacks: a few KB of them can keep it busy for seconds.
_KEPT = frozenset(
    (
        *(b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"),
        *(b"bKGD", b"cHRM", b"cICP", b"gAMA", b"pHYs", b"sBIT", b"sRGB", b"tIME"),
    )
)


def png_structure(content: bytes) -> Structure:
    """Follow the chunks from IHDR to IEND, and check those that pixels depend on by their CRC.

    libpng makes room for as many bytes as a chunk claims before it reads them.

    Raises:
        InputError: They lead past the end, or one is damaged; the message is to follow the file's
            name.
    """
    at, kind, packed = 8, b"", 0
    view = memoryview(content)
    header = b""
    while kind != b"IEND":
        if at + _FRAME > len(content):
            raise InputError(f"is a png that was cut short ({len(content)} bytes)")
        length = _HEADER.unpack_from(content, at)[0]
        kind = content[at + 4 : at + 8]
        end = at + _FRAME + length
        if end > len(content):
            raise InputError(
                f"is a png that was cut short ({len(content)} bytes): its chunk {_name(kind)} "
                f"claims {end - len(content)} bytes more"
            )
        is_critical = not kind[0] & 0x20
        if is_critical and kind != b"IHDR":  # libpng checks that one before anything else
            checksum = zlib.crc32(view[at + 4 : end - 4])
            if checksum != int.from_bytes(view[end - 4 : end], "big"):
                raise InputError(
                    f"is a damaged png: the checksum of its chunk {_name(kind)} at byte {at} is "
                    "wrong"
                )
        if not header:
            header = content[at + 8 : end - 4] if kind == b"IHDR" and length == 13 else b"\0" * 13
        if kind == b"IDAT":
            packed += length
        at = end
    width, height, depth, color = struct.unpack_from(">IIBB", header)
    bits = depth * _CHANNELS.get(color, 1)
    capacity = packed * _MOST_DEFLATED * 8 // max(bits, 1)
    return Structure(width, height, at, capacity)


def png_without_notes(content: bytes) -> bytes:
    """A PNG without the chunks on which no pixel depends; the same object if it has none.

    Args:
        content: A file that `png_structure` accepts, up to its end.
    """
    kept, begin, at = [], 0, 8
    while at < len(content):
        end = at + _FRAME + _HEADER.unpack_from(content, at)[0]
        kind = content[at + 4 : at + 8]
        if kind[0] & 0x20 and kind not in _KEPT:
            kept.append(content[begin:at])
            begin = end
        at = end
    return b"".join([*kept, content[begin:]]) if kept else content


def _name(kind: bytes) -> str:
    return repr(kind.decode("ascii", "backslashreplace"))
