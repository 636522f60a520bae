# SPDX-License-Identifier: Apache-2.0
"""Image files on a disk: which there are, reading and writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.image_files.decoding import decode_image_file
from mtinet_ros.output_files import file_errors, is_result, write_file

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


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


def read_images(
    paths: Iterable[Path], refused: Callable[[InputError], None]
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Read image files one after the other, and go on where one cannot be read.

    Args:
        paths: Files.
        refused: Called with the error of each that cannot be read; it names the file.

    Yields:
        The file and its image as `read_image` gives it.
    """
    for path in paths:
        try:
            image = read_image(path)
        except InputError as error:
            refused(error)
        else:
            yield path, image


def list_images(path: Path) -> list[Path]:
    """The file itself, or all images of a folder, sorted by name.

    Hidden files are left out (macOS puts a `._room.jpg` beside each room.jpg on foreign disks),
    folders, whatever they are called, and results that a command wrote there.

    Raises:
        InputError: The folder holds none.
    """
    if not path.is_dir():
        return [path]
    with file_errors(f"read the folder {path}", InputError):
        files = sorted(path.iterdir())
    records: dict[Path, dict[str, str]] = {}
    images = [file for file in files if _is_picture(file) and not is_result(file, records)]
    if not images:
        raise InputError(f"the folder {path} holds no pictures ({', '.join(IMAGE_SUFFIXES)})")
    return images


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write pixels that `png_bytes` takes.

    Raises:
        InputError: The file cannot be written; nothing half-written is left.
    """
    write_file(path, png_bytes(pixels))


def png_bytes(pixels: NDArray[Any]) -> bytes:
    """uint8 [h,w,3] RGB, uint8 [h,w] or uint16 [h,w] as the content of a PNG file."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def _is_picture(path: Path) -> bool:
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and not path.is_dir()
    )
