# SPDX-License-Identifier: Apache-2.0
"""Which CameraInfo belongs to a recorded frame: what a node would know, whoever reads from where.

A node on a robot keeps the newest CameraInfo for each size of image, and waits a second for the
first. In a recording the rule is the same, and made definite, so that it gives the same for every
frame wherever reading begins:

1. the CameraInfo of the frame's own stamp, if its record time is at most a second off and none of
   a later stamp, or without one, came in between;
2. else those that came before the frame, as the node keeps them, however long ago;
3. else, within a second of the camera's first frame, the first one that fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mtinet_ros.messages.camera_info_message import calibration_kind, size_ratio
from mtinet_ros.messages.image_decoder import MAX_CALIBRATIONS

# How far the record times of an image and of its CameraInfo may be apart, and how long the first
# images wait for one; ns.
PATIENCE = 1_000_000_000

_FIRST_WINDOW = 8 * PATIENCE


@dataclass(frozen=True, eq=False)
class Calibration:
    """A CameraInfo of a recording.

    Attributes:
        content: All but its stamp; equal if the calibrations are.
        message: The message.
    """

    content: bytes
    message: Any

    @property
    def kind(self) -> tuple[int, ...]:
        """See `calibration_kind`."""
        return calibration_kind(self.message)


@dataclass(frozen=True)
class ReceivedCalibration:
    """A CameraInfo as it came: its record time and its own stamp, in ns."""

    time: int
    stamp: int
    calibration: Calibration


# What is known at a time: one for each size, the newest last.
Calibrations = tuple[Calibration, ...]


def with_calibration(known: Calibrations, new: Calibration) -> Calibrations:
    """`known` after another has come."""
    if known and known[-1].content == new.content:
        return known
    others = [calibration for calibration in known if calibration.kind != new.kind]
    return (*others[-MAX_CALIBRATIONS + 1 :], new)


def fits(known: Calibrations, image_size: tuple[int, int] | None) -> bool:
    """Whether one is for images of (height, width); None: of any size."""
    return any(
        image_size is None or size_ratio(calibration.message, image_size) == 1
        for calibration in known
    )


@dataclass(eq=False)
class WaitingFrame:
    """A frame whose calibration may still come.

    Attributes:
        time: Record time in ns.
        stamp: Its own, in ns; 0 or less: it has none.
        image_size: (height, width), where it is known.
        calibrations: What was known at its time, then with what was found for it.
        first_until: Until when it waits for the first calibration that fits; None: it does not.
        match_until: Until when it waits for the one of its stamp; None: it does not.
    """

    time: int
    stamp: int
    image_size: tuple[int, int] | None
    calibrations: Calibrations = ()
    first_until: int | None = None
    match_until: int | None = None

    def is_settled(self, now: int) -> bool:
        """Whether nothing that is recorded from `now` on matters to it."""
        return not any(
            until is not None and now <= until for until in (self.first_until, self.match_until)
        )

    def offer(self, received: ReceivedCalibration, known: Calibrations) -> None:
        """Look at one that came after it; `known` holds it already."""
        if self.first_until is not None and received.time <= self.first_until:
            self.calibrations = known
            if fits(known, self.image_size):
                self.first_until = None
        if self.match_until is not None and received.time <= self.match_until:
            if received.stamp == self.stamp:
                self.calibrations = with_calibration(self.calibrations, received.calibration)
            if received.stamp >= self.stamp or received.stamp <= 0:
                self.match_until = None


@dataclass(eq=False)
class CalibrationHistory:
    """The CameraInfo of one topic, followed while a recording is read.

    Attributes:
        earlier: Gives those with start <= record time < end, in order.
        begin: Record time at which reading begins, in ns.
        recording_begin: That of the recording's first message.
        last: Record time after which none comes.
        known: What is known now.
    """

    earlier: Callable[[int, int], Iterable[ReceivedCalibration]]
    begin: int
    recording_begin: int
    last: int
    known: Calibrations = ()
    _recent: deque[ReceivedCalibration] = field(default_factory=deque)
    _looked_back_to: int = 0
    _waiting: list[WaitingFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look at the last second before reading begins."""
        self._looked_back_to = max(self.begin - PATIENCE, self.recording_begin)
        for received in self.earlier(self._looked_back_to, self.begin):
            self._add(received)

    def receive(self, received: ReceivedCalibration) -> None:
        """Take the next one."""
        self._add(received)
        for frame in self._waiting:
            frame.offer(received, self.known)
        self._waiting = [frame for frame in self._waiting if not frame.is_settled(received.time)]

    def look_ahead(self, ahead: Iterable[ReceivedCalibration]) -> None:
        """Settle all frames that wait, by those that come next, `PATIENCE` of them at least."""
        known = self.known
        for received in ahead:
            known = with_calibration(known, received.calibration)
            for frame in self._waiting:
                frame.offer(received, known)
        for frame in self._waiting:
            frame.first_until = frame.match_until = None
        self._waiting = []

    def settle(
        self,
        frame: WaitingFrame,
        first_frame: int,
        exact_size: Callable[[], tuple[int, int] | None],
    ) -> None:
        """Find the calibrations of the next frame, or have it wait for them.

        Args:
            frame: The frame.
            first_frame: Record time of the camera's first frame.
            exact_size: Gives its (height, width), which may be costly; None: it cannot be told.
        """
        if self._looked_back_to > self.recording_begin:
            self._look_back(exact_size())
        frame.calibrations = self.known
        more_may_come = self.last >= frame.time
        is_early = frame.time < first_frame + PATIENCE
        if is_early and more_may_come and not fits(self.known, frame.image_size):
            frame.first_until = first_frame + PATIENCE
        if frame.stamp > 0:
            while self._recent and self._recent[0].time < frame.time - PATIENCE:
                self._recent.popleft()
            own = [other for other in self._recent if other.stamp == frame.stamp]
            if own:
                frame.calibrations = with_calibration(frame.calibrations, own[-1].calibration)
            elif more_may_come:
                frame.match_until = frame.time + PATIENCE
        if not frame.is_settled(frame.time):
            self._waiting.append(frame)

    def _add(self, received: ReceivedCalibration) -> None:
        self.known = with_calibration(self.known, received.calibration)
        self._recent.append(received)
        while self._recent[0].time < received.time - PATIENCE:
            self._recent.popleft()

    def _look_back(self, image_size: tuple[int, int] | None) -> None:
        """Go back until a calibration for images of this size is known, or to the beginning."""
        window = _FIRST_WINDOW
        while not fits(self.known, image_size) and self._looked_back_to > self.recording_begin:
            end = self._looked_back_to
            self._looked_back_to = max(end - window, self.recording_begin)
            window *= 8
            found: Calibrations = ()
            for received in self.earlier(self._looked_back_to, end):
                found = with_calibration(found, received.calibration)
            for calibration in self.known:
                found = with_calibration(found, calibration)
            self.known = found
