# SPDX-License-Identifier: Apache-2.0
"""What a video file really holds: its packets, read through once, whatever its header says."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NANOSECONDS = 10**9
_NO_TIME = np.iinfo(np.int64).min
_SEEK_TRIES = 4
_PACKETS_TO_IDENTIFY = 64


@dataclass(frozen=True, eq=False)
class VideoPackets:
    """The packets of one video track in the order of the file, and when they are shown.

    Attributes:
        time_base: Seconds per unit of time.
        period: Units from one frame to the next, where the file gives no times.
        times: int64 [n] presentation times of the packets.
        sizes: int64 [n] bytes of the packets.
        is_key: bool [n], whether decoding can begin here.
        shown: int64 [m] times of what is shown, ascending.
        has_times: Whether each time is known and given once. Else frames are counted, from the
            beginning of the file.
        was_cut: What stopped the reading before the end; empty: nothing.
    """

    time_base: Fraction
    period: Fraction
    times: NDArray[np.int64]
    sizes: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    shown: NDArray[np.int64]
    has_times: bool
    was_cut: str

    def nanoseconds(self, time: int) -> int:
        """A presentation time as ns after that of the first frame."""
        return int((time - self.first) * self.time_base * _NANOSECONDS)

    @functools.cached_property
    def first(self) -> int:
        """The earliest time of what is shown."""
        known = self.shown[self.shown != _NO_TIME]
        return int(known[0]) if known.size else 0

    def end(self) -> int:
        """A time in ns after the last frame's: the next, or where they are counted, no earlier."""
        known = self.shown[self.shown != _NO_TIME]
        last = self.nanoseconds(int(known[-1])) if known.size else 0
        return last + 1 if self.has_times else last + self.shown.size * self.period_nanoseconds()

    def period_nanoseconds(self) -> int:
        """From one frame to the next in ns, where the file gives no times."""
        return int(self.period * self.time_base * _NANOSECONDS)

    def index(self, time: int) -> int | None:
        """Index, among what is shown, of what is shown at a time; None: nothing is."""
        index = int(np.searchsorted(self.shown, time))
        return index if index < self.shown.size and self.shown[index] == time else None

    def key_before(self, nanoseconds: int) -> int:
        """The packet at which decoding must begin to give all frames from a time on."""
        if not self.has_times:
            return 0
        start = self.first + int(nanoseconds / (self.time_base * _NANOSECONDS))
        keys = np.flatnonzero(self.is_key & (self.times <= start))
        # One further back than need be: pictures between two key frames may refer to the first
        # (open GOP), and what is not clean at a key frame (gradual refresh) is at the next.
        return int(keys[-2]) if keys.size > 1 else 0

    def from_packet(self, container: Any, stream: Any, first: int) -> Iterator[Any] | None:
        """The packets of a file from one on.

        Args:
            container: The file, opened by PyAV.
            stream: Its video track.
            first: Index of a key packet.

        Returns:
            None if the file's index does not lead there: it must be read from the beginning.
        """
        wanted = int(self.times[first])
        for back in range(_SEEK_TRIES):
            # Before the packet: some formats seek by decoding time, some land behind it.
            target = wanted - int(back**2 * Fraction(2) / self.time_base)
            try:
                container.seek(target, stream=stream)
            except (OSError, ValueError):
                return None
            found = self._identify(packets_of(container, stream), first)
            if found is not None:
                return found
        return None

    def _identify(self, packets: Iterator[Any], first: int) -> Iterator[Any] | None:
        """The packets from `first` on, once it is sure that none is missing."""
        for _, packet in zip(range(_PACKETS_TO_IDENTIFY), packets, strict=False):
            places = self._places(packet)
            if places.size == 1 and places[0] == first:
                return _after(packet, packets)
            if places.size == 1 and places[0] < first:
                return _skip(packets, first - int(places[0]) - 1)
            if places.size == 1:
                return None
        return None

    def _places(self, packet: Any) -> NDArray[np.int64]:
        if packet.pts is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero((self.times == packet.pts) & (self.sizes == packet.size))


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a track, from where the file is read on, and an empty one behind the last."""
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:
            # At the end of a file in which another track began amid it (MPEG-TS): PyAV 18 counts
            # with as many tracks as it had seen at first.
            continue


def read_packets(container: Any, stream: Any, errors: tuple[type[Exception], ...]) -> VideoPackets:
    """Read a video track through without decoding it.

    Args:
        container: The file, opened by PyAV, at its beginning.
        stream: Its video track.
        errors: What PyAV raises.
    """
    times, sizes, keys, hidden = [], [], [], []
    was_cut = ""
    try:
        for packet in packets_of(container, stream):
            if packet.size:
                times.append(_NO_TIME if packet.pts is None else packet.pts)
                sizes.append(packet.size)
                keys.append(packet.is_keyframe)
                hidden.append(packet.is_discard)
    except errors as error:
        was_cut = str(getattr(error, "strerror", "") or error)
    all_times = np.array(times, np.int64)
    shown = np.sort(all_times[~np.array(hidden, np.bool_)])
    has_times = bool(shown.size and shown[0] != _NO_TIME and np.all(np.diff(shown) > 0))
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    period = 1 / (Fraction(rate) * stream.time_base) if rate else 1 / (25 * stream.time_base)
    return VideoPackets(
        time_base=stream.time_base,
        period=period,
        times=all_times,
        sizes=np.array(sizes, np.int64),
        is_key=np.array(keys, np.bool_),
        shown=shown,
        has_times=has_times,
        was_cut=was_cut,
    )


def _after(packet: Any, packets: Iterator[Any]) -> Iterator[Any]:
    yield packet
    yield from packets


def _skip(packets: Iterator[Any], count: int) -> Iterator[Any]:
    for _ in range(count):
        next(packets, None)
    yield from packets
