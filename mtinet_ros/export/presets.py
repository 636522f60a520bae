# SPDX-License-Identifier: Apache-2.0
"""What weights do not say about themselves, for public data sets: names and colours."""

from __future__ import annotations

from mtinet_ros.model_card import RGB

# NYU Depth v2, the 40 classes of Gupta et al. (CVPR 2013), ids 0..39 in their order.
NYUD_CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "other structure", "other furniture", "other prop",
)  # fmt: skip

# PASCAL VOC 2012, ids 0..20.
PASCAL_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa",
    "train", "tv monitor",
)  # fmt: skip


def voc_palette(count: int, first: int = 1) -> tuple[RGB, ...]:
    """Colours of the PASCAL VOC development kit: any number of them, well apart.

    Args:
        count: How many.
        first: Colour number of id 0; 0 is black, which is also how void looks.

    Example:
        >>> voc_palette(3)
        ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    return tuple(_voc_color(number) for number in range(first, first + count))


def _voc_color(number: int) -> RGB:
    """Bits 0, 1, 2 of each octal digit of `number` go to red, green, blue, highest bit first."""
    red = green = blue = 0
    for bit in range(7, -1, -1):
        red |= (number & 1) << bit
        green |= (number >> 1 & 1) << bit
        blue |= (number >> 2 & 1) << bit
        number >>= 3
    return red, green, blue
