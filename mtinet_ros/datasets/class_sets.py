# SPDX-License-Identifier: Apache-2.0
"""Sets of semantic classes, and how labels of one become labels of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import RGB, VOID_ID
from mtinet_ros.scenes.classes import NAMES, PALETTE, from_nyu40


def voc_palette(count: int, first: int = 1) -> tuple[RGB, ...]:
    """Colors of the PASCAL VOC development kit: any number of them, well apart.

    Args:
        count: Number of colors.
        first: Color number of id 0; 0 is black, which is also how void looks.

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


@dataclass(frozen=True)
class ClassSet:
    """Semantic classes.

    Attributes:
        names: By id.
        palette: RGB color of each.
    """

    names: tuple[str, ...]
    palette: tuple[RGB, ...]


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

# UrbanLF (Sheng et al., TCSVT 2022), ids 0..13: its labels 1 to 14 less one, and its colors.
_URBANLF = {
    "bike": (168, 198, 168),
    "building": (198, 0, 0),
    "fence": (202, 154, 198),
    "others": (0, 0, 0),
    "person": (100, 198, 198),
    "pole": (198, 100, 0),
    "road": (52, 42, 198),
    "sidewalk": (154, 52, 192),
    "traffic sign": (198, 0, 168),
    "vegetation": (0, 198, 0),
    "vehicle": (198, 186, 90),
    "bridge": (108, 107, 161),
    "rider": (156, 200, 26),
    "sky": (158, 179, 202),
}

HUMAN_PARTS = (
    "background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg",
)  # fmt: skip
"""The parts of people in PASCAL-Part, merged, by id (Xia et al., CVPR 2017)."""

CLASS_SETS = {
    "nyu40": ClassSet(NYUD_CLASSES, voc_palette(len(NYUD_CLASSES))),
    "rooms": ClassSet(NAMES, PALETTE),
    "pascal21": ClassSet(PASCAL_CLASSES, voc_palette(len(PASCAL_CLASSES), first=0)),
    "urbanlf14": ClassSet(tuple(_URBANLF), tuple(_URBANLF.values())),
}
"""Every set that data or a run's description can name."""


def merging(fine: tuple[str, ...], coarse: str) -> NDArray[np.uint8] | None:
    """How the classes named `fine` merge into the set called `coarse`.

    Returns:
        uint8 [256]: the coarser id of every id, `VOID_ID` where there is none; None where nobody
        said how such classes merge.

    >>> merging(NYUD_CLASSES, "rooms")[[0, 13, 24, 17]].tolist()  # wall, desk, tv, pillow
    [0, 6, 11, 255]
    """
    ids = np.arange(256)
    known = CLASS_SETS.get(coarse)
    if known is not None and fine == known.names:
        return np.where(ids < len(fine), ids, VOID_ID).astype(np.uint8)
    if coarse == "rooms" and fine == NYUD_CLASSES:
        return from_nyu40(np.where(ids < len(fine), ids + 1, VOID_ID))
    return None
