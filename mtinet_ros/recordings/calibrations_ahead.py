# SPDX-License-Identifier: Apache-2.0
"""The CameraInfo of the next second of a bag, read before the images that lie between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from mtinet_ros.recordings.calibration_history import (
    PATIENCE,
    CalibrationHistory,
    ReceivedCalibration,
)

# The history of its topic, and a CameraInfo; None: it is damaged.
HistoryEntry = tuple[CalibrationHistory, ReceivedCalibration | None]


class CalibrationsAhead:
    """Settles all frames that wait, in place of a second of recording kept in memory.

    Each CameraInfo is read ahead once, however often that is asked for.
    """

    def __init__(
        self,
        histories: Collection[CalibrationHistory],
        read: Callable[[int, int], Iterator[HistoryEntry]],
    ) -> None:
        """Read nothing yet.

        Args:
            histories: Those whose frames wait.
            read: Gives each CameraInfo with start <= record time < end, in the order in which
                they come in their turn.
        """
        self._histories = histories
        self._read = read
        self._found: deque[HistoryEntry] = deque()  # those that are still to come in their turn
        self._until = 0  # record time before which nothing is left to be read
        self._last_time, self._came_at_it = 0, 0

    def came(self, time: int) -> None:
        """Note that the next one comes in its turn, at a record time."""
        if self._found:
            self._found.popleft()
        if time != self._last_time:
            self._last_time, self._came_at_it = time, 0
        self._came_at_it += 1

    def settle(self, now: int) -> None:
        """Settle all frames that came up to the present record time."""
        begin, end = max(now, self._until), now + PATIENCE + 1
        came = self._came_at_it if begin == self._last_time else 0
        if begin < end:
            self._found.extend(
                entry for n, entry in enumerate(self._read(begin, end)) if n >= came
            )
            self._until = end
        for history in self._histories:
            history.look_ahead(
                received for owner, received in self._found if owner is history and received
            )
