# SPDX-License-Identifier: Apache-2.0
"""One pass over an interval of a bag: frames with their calibrations, in order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mtinet_ros.errors import InputError
from mtinet_ros.image_files.claimed_size import claimed_size
from mtinet_ros.messages.image_message import is_compressed
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.recordings.bag_camera import BagCamera
from mtinet_ros.recordings.bag_files import BagFiles
from mtinet_ros.recordings.bag_messages import MessageReader, plain
from mtinet_ros.recordings.bag_storage import Channel, StoredMessage
from mtinet_ros.recordings.bag_topics import CAMERA_INFO
from mtinet_ros.recordings.calibration_history import (
    PATIENCE,
    Calibration,
    CalibrationHistory,
    ReceivedCalibration,
    WaitingFrame,
)
from mtinet_ros.recordings.calibrations_ahead import CalibrationsAhead, HistoryEntry
from mtinet_ros.recordings.frame import Header, PassedMessage, RecordedFrame
from mtinet_ros.recordings.problem_list import ProblemList
from mtinet_ros.recordings.ros1_conversion import Ros1Conversion

# Stamps may come out of order by less than this; more is a jump. Nanoseconds.
_TIME_JUMP = 1_000_000_000

# Bytes of messages that wait for a calibration, or behind a frame that does. Beyond them,
# CameraInfo is read ahead: a second of four cameras is half a gigabyte.
_WAITING_BYTES = 64 * 2**20

# What comes out of a pass: a message, or a frame that may have to wait for its calibration.
_Item = PassedMessage | tuple[WaitingFrame, Callable[[], RecordedFrame]]


class _Queue:
    """What is to come out, in order.

    Attributes:
        nbytes: Of the messages in it.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._items: deque[tuple[_Item, int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._items)

    def append(self, item: _Item, nbytes: int) -> None:
        self._items.append((item, nbytes))
        self.nbytes += nbytes

    def settled(self, now: int) -> Iterator[RecordedFrame | PassedMessage]:
        """Take from the front what waits for nothing that is recorded from `now` on."""
        while self._items:
            item, nbytes = self._items[0]
            if not isinstance(item, PassedMessage) and not item[0].is_settled(now):
                return
            self._items.popleft()
            self.nbytes -= nbytes
            yield item if isinstance(item, PassedMessage) else item[1]()


class BagReading:
    """One pass over an interval of a bag."""

    def __init__(
        self,
        files: BagFiles,
        reader: MessageReader,
        cameras: Sequence[BagCamera],
        channels: Sequence[Channel],
        told: ProblemList,
    ) -> None:
        """Begin before the interval is known.

        Args:
            files: The bag.
            reader: Understands its messages.
            cameras: Cameras to read.
            channels: All that can be read in the bag.
            told: Takes what is wrong and stops nothing.
        """
        self._files = files
        self._reader = reader
        self._told = told
        self._channels = channels
        self._cameras = {channel: camera for camera in cameras for channel in camera.channels}
        self._histories: dict[str, CalibrationHistory] = {}
        self._others: set[Channel] = set()
        self._ros1 = Ros1Conversion()
        self._last_stamps: dict[str, int] = {}
        self._last_names: dict[str, tuple[int, int]] = {}

    def items(
        self, begin: int, end: int, with_other_messages: bool
    ) -> Iterator[RecordedFrame | PassedMessage]:
        """Frames with begin <= record time < end [ns], and other messages if asked for."""
        info_channels = self._follow_calibrations(begin)
        if with_other_messages:
            self._others = set(self._channels)
        queue = _Queue()
        ahead = CalibrationsAhead(
            self._histories.values(), partial(self._calibrations, info_channels)
        )
        channels = {*self._cameras, *info_channels, *self._others}
        for stored in self._files.messages(channels, begin, end):
            if history := info_channels.get(stored.channel):
                self._receive(history, stored)
                ahead.came(stored.time)
            if camera := self._cameras.get(stored.channel):
                queue.append(*self._frame(camera, stored))
            elif stored.channel in self._others and (passed := self._passed(stored)):
                queue.append(passed, len(passed.data))
            yield from queue.settled(stored.time)
            if queue.nbytes > _WAITING_BYTES:
                ahead.settle(stored.time)
                yield from queue.settled(stored.time)
        if queue:
            for stored in self._files.messages(info_channels, end, end + PATIENCE + 1):
                self._receive(info_channels[stored.channel], stored)
                yield from queue.settled(stored.time)
        yield from queue.settled(end + 2 * PATIENCE)

    def _calibrations(
        self, info_channels: Mapping[Channel, CalibrationHistory], start: int, end: int
    ) -> Iterator[HistoryEntry]:
        for stored in self._files.messages(info_channels, start, end):
            yield info_channels[stored.channel], self._calibration(stored)

    def _follow_calibrations(self, begin: int) -> dict[Channel, CalibrationHistory]:
        info_channels: dict[Channel, CalibrationHistory] = {}
        for camera in self._cameras.values():
            topic = camera.topic.camera_info_topic
            channels = [
                c for c in self._channels if (c.topic, c.type_name) == (topic, CAMERA_INFO)
            ]
            if channels and topic not in self._histories:
                self._histories[topic] = history = self._history(channels, begin)
                info_channels.update((channel, history) for channel in channels)
        return info_channels

    def _history(self, channels: Sequence[Channel], begin: int) -> CalibrationHistory:
        def earlier(start: int, end: int) -> Iterator[ReceivedCalibration]:
            for stored in self._files.messages(channels, start, end):
                if received := self._calibration(stored):
                    yield received

        return CalibrationHistory(
            earlier, begin, self._files.start, self._files.last_time(channels)
        )

    def _receive(self, history: CalibrationHistory, stored: StoredMessage) -> None:
        if received := self._calibration(stored):
            history.receive(received)

    def _calibration(self, stored: StoredMessage) -> ReceivedCalibration | None:
        try:
            content, message = self._reader.camera_info(plain(stored))
        except InputError as error:
            self._told.report(f"{stored.channel.topic}:", f"{error}; it was left out")
            return None
        stamp = self._reader.header(message).stamp
        return ReceivedCalibration(stored.time, stamp, Calibration(content, message))

    def _passed(self, stored: StoredMessage) -> PassedMessage | None:
        try:
            stored = self._ros1.convert(plain(stored))
        except InputError as error:
            self._told.report(f"{stored.channel.topic}:", f"{error}; it was left out")
            return None
        channel, data = stored.channel, bytes(stored.data)
        return PassedMessage(channel.topic, channel.type_name, stored.time, data, channel)

    def _frame(self, camera: BagCamera, stored: StoredMessage) -> tuple[_Item, int]:
        """A frame that may have to wait, and the bytes that it holds."""
        message: Any = None
        failure: InputError | None = None
        try:
            stored = plain(stored)
            message = self._reader.message(stored)
            header = self._reader.header(message)
            self._check_header(camera.topic.name, header)
        except InputError as error:
            failure, header = error, Header(stored.time, "")
        size = None
        if message is not None and not is_compressed(message):
            size = (int(message.height), int(message.width))
        waiting = WaitingFrame(stored.time, header.stamp, size)
        history = self._histories.get(camera.topic.camera_info_topic)
        if history is not None and failure is None:
            history.settle(waiting, camera.first_frame, lambda: size or _compressed_size(message))
        passed = self._passed(stored) if stored.channel in self._others else None
        nbytes = len(stored.data) + (0 if passed is None else len(passed.data))

        def finish() -> RecordedFrame:
            return RecordedFrame(
                camera=camera.topic.name,
                time=stored.time,
                header=header,
                name=self._name(camera.topic.name, stored.time),
                decode=(
                    partial(_fail, failure)
                    if failure
                    else partial(camera.decode, message, waiting.calibrations)
                ),
                message=passed,
                nbytes=nbytes,
            )

        return (waiting, finish), nbytes

    def _name(self, camera: str, time: int) -> str:
        """By record time, which is the same wherever reading begins; equal ones are numbered."""
        last, count = self._last_names.get(camera, (-1, 0))
        count = count + 1 if time == last else 1
        self._last_names[camera] = (time, count)
        seconds, nanoseconds = divmod(time, 1_000_000_000)
        number = f"_{count}" if count > 1 else ""
        return f"{camera}/{seconds:010d}_{nanoseconds:09d}{number}"

    def _check_header(self, camera: str, header: Header) -> None:
        if header.stamp <= 0:
            self._told.report(
                f"{camera}: stamp", "is zero or before 1970; the driver did not set it"
            )
        elif header.stamp < self._last_stamps.get(camera, 0) - _TIME_JUMP:
            self._told.report(
                f"{camera}: stamp",
                "jumped back by more than a second; frames are in order of the time at which they "
                "were recorded",
            )
        self._last_stamps[camera] = header.stamp
        if "optical" not in header.frame_id:
            self._told.report(
                f"{camera}: frame_id",
                f"is {header.frame_id[:60]!r}; images need the camera's optical frame (REP 103), "
                "usually named ..._optical_frame, or all that uses the outputs is turned wrongly",
            )


def _fail(failure: InputError) -> DecodedImage:
    raise failure


def _compressed_size(message: Any) -> tuple[int, int] | None:
    """(height, width) of a compressed image; None: it is damaged."""
    return claimed_size(np.frombuffer(message.data, np.uint8))
