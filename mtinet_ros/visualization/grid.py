# SPDX-License-Identifier: Apache-2.0
"""Images of one size side by side and below each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def grid(tiles: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Lay tiles of one size, uint8 [h,w,3] each, out in rows; what is left of the last is black.

    >>> grid([np.full((2, 3, 3), 9, np.uint8)] * 5, columns=4).shape
    (4, 12, 3)
    """
    filled = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    rows = [np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)]
    return np.asarray(np.vstack(rows), np.uint8)
