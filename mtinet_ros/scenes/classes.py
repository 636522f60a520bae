# SPDX-License-Identifier: Apache-2.0
"""The classes of the rooms: one table of names, colours and the NYUv2-40 labels they merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import RGB, VOID_ID


@dataclass(frozen=True)
class SceneClass:
    """One class.

    Attributes:
        name: As it is published.
        color: RGB, 0..255.
        nyu40: The labels of NYUv2's 40-class set (1-based, Gupta et al. 2013) merged into it.
    """

    name: str
    color: RGB
    nyu40: tuple[int, ...]


# A label is in at most one row; the order is the label id. Pillows (18) are in none: here they
# belong to the bed or sofa they lie on, there they are annotated apart.
CLASSES: tuple[SceneClass, ...] = (
    SceneClass("wall", (174, 199, 232), (1,)),
    SceneClass("floor", (152, 223, 138), (2, 20)),  # floor, floor mat
    SceneClass("ceiling", (78, 71, 183), (22,)),
    SceneClass("bed", (255, 187, 120), (4,)),
    SceneClass("chair", (188, 189, 34), (5,)),
    SceneClass("sofa", (140, 86, 75), (6,)),
    SceneClass("table", (255, 152, 150), (7, 14)),  # table, desk
    # cabinet, bookshelf, counter, shelves, dresser, refrigerator, night stand, toilet, sink,
    # bathtub, other furniture
    SceneClass("furniture", (31, 119, 180), (3, 10, 12, 15, 17, 24, 32, 33, 34, 36, 39)),
    SceneClass("door", (214, 39, 40), (8,)),
    SceneClass("window", (197, 176, 213), (9, 13, 16)),  # window, blinds, curtain
    SceneClass("picture", (196, 156, 148), (11, 30)),  # picture, whiteboard
    SceneClass("tv", (23, 190, 207), (25,)),
    # mirror, clothes, books, paper, towel, shower curtain, box, person, lamp, bag,
    # other structure, other prop
    SceneClass("object", (227, 119, 194), (19, 21, 23, 26, 27, 28, 29, 31, 35, 37, 38, 40)),
)

NAMES: tuple[str, ...] = tuple(entry.name for entry in CLASSES)
PALETTE: tuple[RGB, ...] = tuple(entry.color for entry in CLASSES)


def class_id(name: str) -> int:
    """Label id of a class.

    Raises:
        ValueError: `name` is no class.
    """
    return NAMES.index(name)


def from_nyu40(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Merge an NYUv2-40 label map into these classes.

    Args:
        labels: Any shape; 1..40; pillows and everything else become void.

    Returns:
        uint8 array of the same shape: 0..12, `VOID_ID` elsewhere.

    >>> from_nyu40(np.array([1, 14, 25, 0, 255])).tolist()
    [0, 6, 11, 255, 255]
    """
    table = np.full(256, VOID_ID, np.uint8)
    for index, entry in enumerate(CLASSES):
        table[list(entry.nyu40)] = index
    inside = (labels >= 0) & (labels < 256)
    return table[np.where(inside, labels, VOID_ID)]
