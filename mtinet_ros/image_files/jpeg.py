# SPDX-License-Identifier: Apache-2.0
"""The markers of a JPEG file (ITU-T T.81, annex B), and what libjpeg says of its data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mtinet_ros.errors import InputError
from mtinet_ros.image_files.structure import Structure

# Where the entropy-coded data of a scan ends: a marker that is no stuffed byte, fill or restart.
_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_RESTARTS = bytes(range(0xD0, 0xD8))  # RST0 to RST7, which take turns

_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))  # stuffed byte, TEM, RST0 to RST7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_BLOCK_FRAMES = (*_HUFFMAN_FRAMES, 0xC9, 0xCA)  # and arithmetic; of blocks of 8x8, not lossless

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


@dataclass(frozen=True)
class _Frame:
    """A frame header (B.2.2).

    Attributes:
        kind: Its marker.
        width: Pixels in a row.
        height: Rows.
        sampling: Horizontal and vertical sampling factor of each component, by its identifier.
    """

    kind: int = 0
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] | None = None

    def mcus(self, components: bytes) -> int:
        """How many MCUs a scan of these components has (A.2); 0 if that is not certain."""
        sampling = self.sampling or {}
        factors = [sampling.get(component, (0, 0)) for component in components]
        if self.kind not in _BLOCK_FRAMES or not factors or not all(map(all, factors)):
            return 0
        across = 8 * max(h for h, _ in sampling.values())
        down = 8 * max(v for _, v in sampling.values())
        # A scan of one component has MCUs of one block.
        h, v = factors[0] if len(factors) == 1 else (1, 1)
        return -(-self.width * h // across) * -(-self.height * v // down)


def jpeg_structure(content: bytes) -> Structure:
    """Follow the markers from SOI to EOI.

    As libjpeg does, bytes between segments that are no marker are skipped: some cameras' lengths
    are wrong.

    Raises:
        InputError: They lead past the end, or to the beginning of another picture; the message is
            to follow the file's name.
    """
    at = 2
    frame, interval, scanned = _Frame(), 0, 0
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
            if frame.kind:
                raise InputError(f"is a damaged jpeg: a second frame begins at byte {at - 2}")
            frame = _frame(marker, content[at : at + length])
        elif marker == _DRI:
            interval = int.from_bytes(content[at + 2 : at + 4], "big")
        header = content[at : at + length]
        at += length
        if marker == _SOS:
            found = _END_OF_SCAN.search(content, at)
            if found is None:
                raise cut_short(content)
            end = found.start()
            components = header[3 : 3 + 2 * header[2] : 2] if length > 2 else b""
            _check_restarts(content, at, end, interval, frame.mcus(components))
            scanned += end - at
            at = end
    # Huffman coding spends a bit or more on each block of 8x8; arithmetic coding may spend less.
    is_huffman = frame.kind in _HUFFMAN_FRAMES
    capacity = scanned * 8 * 64 if is_huffman else frame.width * frame.height
    return Structure(frame.width, frame.height, at, capacity)


def _frame(kind: int, segment: bytes) -> _Frame:
    listed = segment[8:]
    return _Frame(
        kind,
        int.from_bytes(segment[5:7], "big"),
        int.from_bytes(segment[3:5], "big"),
        {
            listed[i]: (listed[i + 1] >> 4, listed[i + 1] & 15)
            for i in range(0, len(listed) - 2, 3)
        },
    )


def _check_restarts(content: bytes, begin: int, end: int, interval: int, mcus: int) -> None:
    """Check that the restart markers of a scan are all there, in their order.

    libjpeg warns of that as well, but says its first warning only, which may be a harmless one.

    Args:
        content: The file.
        begin: Where the scan's data begins.
        end: Where it ends.
        interval: MCUs from one restart marker to the next; 0 where there are to be none.
        mcus: Of the scan; 0 if that is not known.

    Raises:
        InputError: Some are missing or too many; the message is to follow the file's name.
    """
    markers = b"".join(_RESTART.findall(content, begin, end))[1::2]
    count = len(markers)
    if markers != (_RESTARTS * (count // 8 + 1))[:count]:
        raise InputError(
            f"is a damaged jpeg: restart markers of the scan at byte {begin} are out of order"
        )
    if not mcus:
        return
    wanted = (mcus - 1) // interval if interval else 0
    # Some encoders end the last interval with a marker, too; it does no harm.
    if count == wanted + 1 and end - content.rfind(b"\xff", begin, end) - 2 <= _MOST_PADDING:
        return
    if count != wanted:
        raise InputError(
            f"is a damaged jpeg: the scan at byte {begin} has {count} restart markers instead of "
            f"{wanted}"
        )


def cut_short(content: bytes) -> InputError:
    """The error for a JPEG without an end."""
    return InputError(f"is a jpeg that was cut short ({len(content)} bytes)")


def jpeg_damage(printed: str) -> str:
    """What is wrong with the pixels, from what libjpeg printed; empty if nothing is.

    It prints the first warning of a picture only, and none where wrong bits make valid codes. What
    stays unseen:

    - changed bits and small holes after which at most 64 bytes are left over, which pass for a
      webcam's padding; without restart markers, all that lies behind is shifted;
    - holes in the finer scans of a progressive picture, which blur rather than shift;
    - a hole within one restart interval behind padding, which spoils that interval only.

    Holes with restart markers in them are found by `jpeg_structure`, whatever libjpeg prints.
    """
    for line in printed.splitlines():
        padding = _EXTRANEOUS.fullmatch(line)
        if _DAMAGE.fullmatch(line) or (padding and int(padding[1]) > _MOST_PADDING):
            return line
    return ""
