# SPDX-License-Identifier: Apache-2.0
"""What looks odd in a simulator's depth, for a person to judge; and truth that is not there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FAR_SHARE = 0.01
_FARTHEST_ROOM = 100.0


class DepthSeen:
    """True depth summed over frames.

    Attributes:
        frames: How many.
        pixels: Pixels with depth.
    """

    def __init__(self, is_distance: bool) -> None:
        """Begin; `is_distance`: it came as distance along the ray."""
        self.frames = 0
        self.pixels = 0
        self._is_distance = is_distance
        self._largest = 0.0
        self._at_largest = 0
        self._medians: list[float] = []

    def add(self, depth: NDArray[np.float32]) -> None:
        """Look at a frame, float32 [h,w] metres, 0: unknown."""
        self.frames += 1
        known = depth[depth > 0]
        if not known.size:
            return
        self.pixels += known.size
        self._medians.append(float(np.median(known)))
        largest = float(known.max())
        count = int(np.count_nonzero(known == largest))
        if largest > self._largest:
            self._largest, self._at_largest = largest, count
        elif largest == self._largest:
            self._at_largest += count

    def notes(self, topic: str) -> list[str]:
        """Sentences on what was seen."""
        found = [
            f"{topic} is taken for distance from the camera and was turned into depth"
            if self._is_distance
            else f"{topic} is taken for depth along the optical axis; if it is the distance from "
            "the camera, say --truth-depth ray"
        ]
        share = self._at_largest / max(self.pixels, 1)
        if share > _FAR_SHARE and not self._is_distance:
            found.append(
                f"{share:.1%} of the true depth on {topic} is exactly {self._largest:g} m, as "
                "where a simulated camera sees nothing; --depth-limit leaves it out"
            )
        if self._medians and float(np.median(self._medians)) > _FARTHEST_ROOM:
            found.append(
                f"the true depth on {topic} has a median of {float(np.median(self._medians)):.0f} "
                "m; floats are taken for metres"
            )
        return found


def no_messages(path: Path, topic: str, images: Collection[str], damage: Sequence[str]) -> str:
    """That a recording has nothing on a topic of truth: what it has instead, and why it may be."""
    there = (
        f"; images beside the pictures are on {', '.join(sorted(images)[:8])}" if images else ""
    )
    return f"{path} has no messages on {topic}{there}{''.join(f'; {one}' for one in damage[:1])}"
