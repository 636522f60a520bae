# SPDX-License-Identifier: Apache-2.0
"""Which messages are of the same moment, by their stamps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pairs:
    """Pictures and the truth for them.

    Attributes:
        of: Stamp of the truth by stamp of the picture, in order of the pictures' stamps.
        pictures: Number of different stamps of pictures.
        truths: Number of different stamps of truth.
        closest: Shortest time between a picture and truth that are no pair, ns; None: there is
            none.
    """

    of: dict[int, int]
    pictures: int
    truths: int
    closest: int | None


def pair_stamps(pictures: Sequence[int], truths: Sequence[int], tolerance: int = 0) -> Pairs:
    """Pair pictures with truth of the same stamp, or each with its nearest.

    With a tolerance, two are a pair if each is the other's nearest, so that no truth is counted
    for two pictures; of two that are equally near, the earlier.

    Args:
        pictures: Stamps in ns, in any order; of equal ones the first counts.
        truths: The same of truth.
        tolerance: Longest time between the two of a pair, ns.

    >>> pair_stamps([10, 20, 30], [31, 11, 12], tolerance=2).of
    {10: 11, 30: 31}
    >>> pair_stamps([10, 20], [21]).closest
    1
    """
    ours, theirs = sorted(set(pictures)), sorted(set(truths))
    pairs = {}
    closest: int | None = None
    for stamp in ours:
        other = _nearest(theirs, stamp)
        if other is None:
            break
        gap = abs(other - stamp)
        if gap <= tolerance and _nearest(ours, other) == stamp:
            pairs[stamp] = other
        elif closest is None or gap < closest:
            closest = gap
    return Pairs(pairs, len(ours), len(theirs), closest)


def _nearest(stamps: Sequence[int], stamp: int) -> int | None:
    place = bisect_left(stamps, stamp)
    around = stamps[max(0, place - 1) : place + 1]
    return min(around, key=lambda other: (abs(other - stamp), other)) if around else None
