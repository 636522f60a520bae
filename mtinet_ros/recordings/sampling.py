# SPDX-License-Identifier: Apache-2.0
"""A few frames of a recording, spread over its whole time, without reading all of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from mtinet_ros.recordings.frame import Interval, RecordedFrame, Source

_SECOND = 1_000_000_000


def spread_frames(source: Source, count: int) -> Iterator[RecordedFrame]:
    """At most `count` frames, evenly spaced in time; of several cameras, each in turn.

    The recording's time is cut into `count` parts, and of each the first frame is taken. Where the
    camera whose turn it is has none in a part, another one's is taken.

    Raises:
        InputError: The recording cannot be read.
    """
    whole = source.interval()
    start = whole.start or 0
    end = whole.end if whole.end is not None else start + count * _SECOND
    cameras = [camera.name for camera in source.cameras] or [""]
    edges = [start + (end - start) * part // count for part in range(count + 1)]
    turn = 0
    for begin, following in pairwise(edges):
        if begin == following:
            continue
        wanted = cameras[turn % len(cameras)]
        found = _first(source, Interval(begin, following), wanted)
        if found is not None:
            turn += 1
            yield found


def _first(source: Source, part: Interval, camera: str) -> RecordedFrame | None:
    other = None
    for entry in source.read(part):
        if isinstance(entry, RecordedFrame):
            if entry.camera == camera:
                return entry
            other = other or entry
    return other
