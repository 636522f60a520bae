# SPDX-License-Identifier: Apache-2.0
"""Pictures and ground truth in files (PNG, .npy), or what is wrong with them."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError, InputError
from mtinet_ros.image_files import MAX_PIXELS, decode_image_file, image_file_format
from mtinet_ros.image_files.decoder_log import decode_with_log
from mtinet_ros.image_files.png import png_structure

_PNG_BITS, _PNG_KIND = 24, 25
"""Places of the bit depth and the color type in a PNG."""
_GRAY, _PALETTE = 0, 3
"""Color types of a PNG."""
_SIGNATURE = 8
_IHDR_END = _SIGNATURE + 25


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as uint8 [h, w, 3] RGB, in the rows and columns that its truth has.

    Raises:
        DataError: It is damaged, or its EXIF data has it turned: nobody knows whether its truth
            was made before or after that.
    """
    data = np.frombuffer(read_content(path), np.uint8)
    try:
        image = decode_image_file(data, upright=False)
        turned = b"xif\0" in data.tobytes() or b"eXIf" in data.tobytes()
        if turned and not np.array_equal(image, decode_image_file(data, upright=True)):
            raise DataError(
                f"{path} is to be turned, says its EXIF orientation, and its truth would not "
                "match; save it upright and without"
            )
    except InputError as error:
        raise DataError(f"{path} {error}; copy the file again") from error
    return image


def read_array(path: Path) -> NDArray[Any]:
    """The numbers in a .npy file, memory-mapped.

    Raises:
        DataError: It is damaged, or holds something else.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    # EOFError: nothing is in the file; the last three: its header is damaged.
    except (OSError, ValueError, EOFError, SyntaxError, TokenError, OverflowError) as error:
        raise DataError(f"{path} cannot be read ({error}); copy the file again") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        what = str(values.dtype) if isinstance(values, np.ndarray) else "several arrays"
        raise DataError(f"{path} holds {what}, no numbers; an array of numbers is needed")
    return values


def read_png(path: Path) -> NDArray[Any]:
    """The values in a PNG of one channel, uint8 or uint16 [h, w].

    Raises:
        DataError: It is damaged, or has colors, a palette, or fewer bits: OpenCV would make gray
            levels and colors of what are numbers.
    """
    content = _png_content(path)
    bits, kind = content[_PNG_BITS], content[_PNG_KIND]
    if kind != _GRAY or bits not in (8, 16):
        what = {_GRAY: f"has {bits} bits a pixel", _PALETTE: "has a palette"}
        raise DataError(
            f"{path} {what.get(kind, 'is a color picture')}; ids and depths are pictures of one "
            "channel of 8 bits, gray without a palette"
        )
    return _pixels(path, content)


def read_id_png(path: Path) -> NDArray[np.uint8]:
    """The ids in a PNG of one channel, whether they are gray levels or numbers of palette colors.

    Returns:
        uint8 [h, w].

    Raises:
        DataError: It is damaged, a color picture, or has 16 bits a pixel.
    """
    content = _png_content(path)
    bits, kind = content[_PNG_BITS], content[_PNG_KIND]
    if kind not in (_GRAY, _PALETTE) or bits > 8:
        what = "has 16 bits a pixel" if kind == _GRAY else "is a color picture"
        raise DataError(
            f"{path} {what}; ids are pictures of one channel of at most 8 bits, gray or with a "
            "palette"
        )
    if kind == _PALETTE:
        content = _without_palette(content)
    values = np.asarray(_pixels(path, content), np.uint8)
    return values if bits == 8 else values // np.uint8(255 // (2**bits - 1))  # stretched to 255


def _without_palette(content: bytes) -> bytes:
    """The PNG whose gray levels are the numbers of palette colors (PNG, clause 11.2)."""
    header = bytearray(content[_SIGNATURE : _IHDR_END - 4])
    header[_PNG_KIND - _SIGNATURE] = _GRAY
    parts = [content[:_SIGNATURE], bytes(header), struct.pack(">I", zlib.crc32(header[4:]))]
    at = _IHDR_END
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in (b"IDAT", b"IEND"):
            parts.append(content[at : at + 12 + length])
        at += 12 + length
    return b"".join(parts)


def _png_content(path: Path) -> bytes:
    """The file up to its end, once its chunks are known to be whole."""
    content = read_content(path)
    if image_file_format(np.frombuffer(content, np.uint8)) != "png":
        raise DataError(f"{path} is no png ({len(content)} bytes); copy the file again")
    try:
        structure = png_structure(content)
    except InputError as error:
        raise DataError(f"{path} {error}; copy the file again") from error
    if structure.width * structure.height > min(structure.capacity, MAX_PIXELS):
        raise DataError(f"{path} is a damaged png ({len(content)} bytes); copy the file again")
    return content[: structure.end]


def _pixels(path: Path, content: bytes) -> NDArray[Any]:
    values = decode_with_log(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[0]
    if values is None:
        raise DataError(f"{path} is a damaged png ({len(content)} bytes); copy the file again")
    return np.asarray(values)


def read_content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); copy it again") from error


def refuse_infinite(path: Path, depth: NDArray[Any]) -> None:
    """Refuse depth that is not all finite, on which any loss would be infinite.

    Raises:
        DataError: A depth is infinite or NaN; where, and how many.
    """
    odd = ~np.isfinite(depth)
    if odd.any():
        row, column = (int(index) for index in np.argwhere(odd)[0][:2])
        raise DataError(
            f"{path} has {int(odd.sum())} depths that are no finite numbers, such as "
            f"{depth[row, column]} in row {row}, column {column}; write 0 where depth is unknown"
        )


def missing_of(paths: Sequence[Path]) -> list[Path]:
    """Those that are not there; every folder is read but once."""
    there: dict[Path, set[str]] = {}
    for folder in {path.parent for path in paths}:
        there[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    return [path for path in paths if path.name not in there[path.parent]]


def refuse_missing(root: Path, missing: Sequence[Path], frames: str) -> None:
    """Refuse a folder that lacks files.

    Args:
        root: The folder.
        missing: What it lacks.
        frames: Which frames need them, such as "795 train".

    Raises:
        DataError: Something is missing; how much in which folder, and one of them.
    """
    if missing:
        counts = Counter(path.parent.relative_to(root).as_posix() for path in missing)
        absent = ", ".join(f"{count} in {folder}/" for folder, count in counts.most_common(5))
        if len(counts) > 5:
            absent += f" and others in {len(counts) - 5} more folders"
        raise DataError(
            f"{root} lacks files of its {frames} frames: {absent}, such as "
            f"{missing[0].relative_to(root)}; copy it again, or take the names off the list (and "
            "a folder away whose truth is not wanted)"
        )
