# SPDX-License-Identifier: Apache-2.0
"""Which share of a recording a process takes, and which of its frames."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.recordings.frame import Interval, RecordedFrame, Source

_MOST_SHARDS = 9999


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` equal shares of a recording's time.

    Attributes:
        index: 1 to `count`.
        count: Shares in all; 1: the whole.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From `i/n`.

        Raises:
            ConfigurationError: It is none.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= shard.index <= shard.count <= _MOST_SHARDS:
            raise ConfigurationError(
                f"--shard is {text}; give i/n with i from 1 to n, n at most {_MOST_SHARDS}, "
                "e.g. 1/4"
            )
        return shard

    def __str__(self) -> str:
        """`i/n`."""
        return f"{self.index}/{self.count}"

    def of(self, chosen: Interval, recorded: Interval) -> Interval:
        """The interval of this shard: the same whoever asks, and together all of `chosen`.

        Args:
            chosen: What is to be processed of the recording.
            recorded: What the recording says of itself. Where it lies, the first and the last
                shard take what there is beyond.
        """
        if self.count == 1:
            return chosen
        if recorded.start is None or recorded.end is None:  # it is empty, or says nothing
            return chosen if self.index == 1 else Interval(0, 0)
        start = recorded.start if chosen.start is None else max(chosen.start, recorded.start)
        end = recorded.end if chosen.end is None else min(chosen.end, recorded.end)
        length = max(0, end - start)
        cuts = [start + length * i // self.count for i in (self.index - 1, self.index)]
        return Interval(
            chosen.start if self.index == 1 else cuts[0],
            chosen.end if self.index == self.count else cuts[1],
        )


class EveryNth:
    """Takes the first, the n-th after it and so on of each camera, counted from the beginning.

    Whoever begins in the middle of a recording counts what is before (`count_frames`), so that
    shards and resumed runs take the very frames that one run takes.
    """

    def __init__(self, every: int, counts: Mapping[str, int]) -> None:
        """Begin with so many frames of each camera counted."""
        self._every = every
        self._counts = dict(counts)

    def takes(self, frame: RecordedFrame) -> bool:
        """Count a frame; whether it is to be processed."""
        count = self._counts.get(frame.camera, 0)
        self._counts[frame.camera] = count + 1
        return count % self._every == 0


def count_frames(source: Source, interval: Interval) -> dict[str, int]:
    """Frames of an interval by camera; they are read, not decoded.

    Raises:
        InputError: See `Source.read`.
    """
    counts: dict[str, int] = {}
    for frame in source.read(interval):
        if isinstance(frame, RecordedFrame):
            counts[frame.camera] = counts.get(frame.camera, 0) + 1
    return counts
