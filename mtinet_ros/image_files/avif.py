# SPDX-License-Identifier: Apache-2.0
"""How an AVIF picture is to be turned (ISO/IEC 23008-12, 6.5.10 and 6.5.12).

OpenCV does not do it. The EXIF block of an AVIF has no say in it (ISO/IEC 23000-22, 7.3.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_MOST_BRANDS = 4096  # bytes of the first box that are looked at


@dataclass(frozen=True)
class Orientation:
    """Turns and flips, in the order in which they are to be done.

    Attributes:
        steps: ("turn", quarters anticlockwise), ("flip", axis of the array: 0 rows, 1 columns).
    """

    steps: tuple[tuple[str, int], ...] = ()

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture upright, uint8 [h,w,3]; in one piece."""
        for step, amount in self.steps:
            pixels = np.rot90(pixels, amount) if step == "turn" else np.flip(pixels, amount)
        return np.ascontiguousarray(pixels)


def is_avif(data: NDArray[np.uint8]) -> bool:
    """Whether a file is AVIF, by the brands in its first box (ISO/IEC 14496-12, 4.3).

    The major brand may be one of HEIF (`mif1`, `miaf`), with `avif` among the compatible ones.
    """
    return not _BRANDS.isdisjoint(_brands_of(data))


def is_heic(data: NDArray[np.uint8]) -> bool:
    """Whether a file is HEIC, what phones write, which OpenCV does not read."""
    return not _HEIC_BRANDS.isdisjoint(_brands_of(data))


def _brands_of(data: NDArray[np.uint8]) -> set[bytes]:
    kind, body = next(_boxes(data[:_MOST_BRANDS].tobytes()), (b"", b""))
    if kind != b"ftyp":
        return set()
    return {body[at : at + 4] for at in range(0, len(body), 4) if at != 4}  # 4: a version


def avif_orientation(content: bytes) -> Orientation:
    """Read what the primary picture's properties say; none where the boxes make no sense."""
    try:
        meta = _box(content, b"meta")[4:]
        properties = _box(meta, b"iprp")
        listed = list(_boxes(_box(properties, b"ipco")))
        numbers = _associations(_box(properties, b"ipma"), _primary(_box(meta, b"pitm")))
        steps = []
        for number in numbers:
            kind, body = listed[number - 1]
            if kind == b"irot":
                steps.append(("turn", body[0] & 3))
            elif kind == b"imir":
                steps.append(("flip", body[0] & 1))
    except (IndexError, KeyError):
        return Orientation()
    return Orientation(tuple(steps))


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and body of each box (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(content):
        size, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(content) - at
        if size < head:
            return
        yield kind, content[at + head : at + size]
        at += size


def _box(content: bytes, wanted: bytes) -> bytes:
    for kind, body in _boxes(content):
        if kind == wanted:
            return body
    raise KeyError(wanted)


def _primary(body: bytes) -> int:
    return int.from_bytes(body[4:6] if body[0] == 0 else body[4:8], "big")


def _associations(body: bytes, item: int) -> list[int]:
    """Numbers, from 1, of an item's properties, in order (23008-12, 9.3)."""
    id_bytes = 2 if body[0] < 1 else 4
    is_wide = body[3] & 1
    at = 8
    for _ in range(int.from_bytes(body[4:8], "big")):
        found = int.from_bytes(body[at : at + id_bytes], "big")
        count = body[at + id_bytes]
        at += id_bytes + 1
        width = 2 if is_wide else 1
        if found == item:
            bits = 0x7FFF if is_wide else 0x7F
            return [
                int.from_bytes(body[i : i + width], "big") & bits
                for i in range(at, at + count * width, width)
            ]
        at += count * width
    return []
