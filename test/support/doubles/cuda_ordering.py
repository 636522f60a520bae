# SPDX-License-Identifier: Apache-2.0
"""Who touches which memory, and what is ordered before what: finds races that no run shows.

Each stream, and the host, knows how far each other stream had come before its next work can begin
(a vector clock): events carry that from one to the other. Two works that touch the same bytes, one
of them writing, are a race unless the later one knows of the earlier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# Where memory begins, and its size in bytes.
Range = tuple[int, int]
Clock = Counter[int]  # stream -> number of its last work that is over by then


@dataclass
class _Touch:
    stream: int
    number: int
    is_write: bool
    doing: str


@dataclass
class Ordering:
    """All streams of a machine, by a number each.

    Attributes:
        host: What the host has waited for.
        streams: What each stream's next work comes after.
    """

    host: Clock = field(default_factory=Counter)
    streams: dict[int, Clock] = field(default_factory=dict)
    _touched: dict[Range, list[_Touch]] = field(default_factory=dict)

    def queued(
        self, stream: int, doing: str, reads: Iterable[Range], writes: Iterable[Range]
    ) -> list[str]:
        """One more work on a stream; returns the races that it makes, in words."""
        clock = self.streams.setdefault(stream, Counter())
        clock |= self.host  # it was queued after the host had waited
        clock[stream] += 1
        self.streams[stream] = clock
        races = []
        for is_write, ranges in ((False, reads), (True, writes)):
            for touched in ranges:
                mine = _Touch(stream, clock[stream], is_write, doing)
                races += self._touch(touched, mine, clock)
        return races

    def _touch(self, touched: Range, mine: _Touch, clock: Clock) -> list[str]:
        races = [
            f"a race: {mine.doing} does not wait for {other.doing}"
            for place, others in self._touched.items()
            if place[0] < sum(touched) and touched[0] < sum(place)
            for other in others
            if (mine.is_write or other.is_write) and clock[other.stream] < other.number
        ]
        same = self._touched.setdefault(touched, [])
        # Of one stream and kind, the last one comes after all before it.
        kept = [t for t in same if (t.stream, t.is_write) != (mine.stream, mine.is_write)]
        self._touched[touched] = [*kept, mine]
        return races

    def mark(self, stream: int) -> Clock:
        """What an event that is recorded now carries."""
        return self.streams.get(stream, Counter()) | self.host

    def wait(self, stream: int, mark: Clock) -> None:
        """The stream goes on only after an event's mark."""
        self.streams[stream] = self.streams.get(stream, Counter()) | mark

    def host_waits(self, mark: Clock) -> None:
        """The host has seen an event's mark."""
        self.host = self.host | mark

    def freed(self, address: int, size: int) -> None:
        """Other memory may come to lie there."""
        for start, length in list(self._touched):
            if start < address + size and address < start + length:
                del self._touched[start, length]
