# SPDX-License-Identifier: Apache-2.0
"""Image files: reading, with checks for damaged, truncated and huge ones, and writing."""

from mtinet_ros.image_files.decoding import MAX_PIXELS, decode_image_file, image_file_format
from mtinet_ros.image_files.files import (
    IMAGE_SUFFIXES,
    list_images,
    png_bytes,
    read_image,
    read_images,
    write_png,
)
from mtinet_ros.image_files.video import open_video

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "decode_image_file",
    "image_file_format",
    "list_images",
    "open_video",
    "png_bytes",
    "read_image",
    "read_images",
    "write_png",
]
