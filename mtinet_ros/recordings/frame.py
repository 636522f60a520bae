# SPDX-License-Identifier: Apache-2.0
"""What every recording is to its reader and its writer: frames in order of time.

Times are int nanoseconds on one axis per recording: record time in a bag, presentation time from 0
in a video, index times one second for pictures. An `Interval` of that axis is all that beginning,
ending, sharding, resuming and merging need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction


@dataclass(frozen=True)
class Header:
    """What std_msgs/Header says: `stamp` in ns of ROS time, and the frame of the camera."""

    stamp: int
    frame_id: str


@dataclass(frozen=True)
class Interval:
    """Times t with start <= t < end, in ns; None: open at that end."""

    start: int | None = None
    end: int | None = None

    def __contains__(self, time: int) -> bool:
        """Whether a time lies in it."""
        return (self.start is None or self.start <= time) and (self.end is None or time < self.end)


@dataclass(frozen=True, eq=False)
class PassedMessage:
    """A message of a bag, as it was recorded.

    Attributes:
        topic: Its topic.
        type_name: E.g. `sensor_msgs/msg/Imu`.
        time: Record time in ns.
        data: Serialized (CDR).
        connection: What the reader knows of the topic (definition, quality of service), for a
            writer of bags.
    """

    topic: str
    type_name: str
    time: int
    data: bytes
    connection: Any


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One picture of a recording.

    Attributes:
        camera: Name of its camera within the recording.
        time: On the recording's axis, in ns.
        header: What its message said, or would say.
        name: Where a folder keeps its results, e.g. `kitchen/0001`: unique in the recording, no
            suffix, relative, without `..`.
        decode: Gives the picture, in any thread, in any order, once. Raises `InputError` if it
            cannot be read.
        message: The message it came in, where that is to be kept.
        nbytes: Bytes that `decode` and `message` hold, as far as is known.
    """

    camera: str
    time: int
    header: Header
    name: str
    decode: Callable[[], DecodedImage]
    message: PassedMessage | None = None
    nbytes: int = 0


@dataclass(frozen=True)
class CameraInput:
    """One camera of a recording: its name, its topic (or file), how many frames are promised."""

    name: str
    topic: str
    frames: int | None = None


class Source(Protocol):
    """A recording that is read.

    Attributes:
        path: File or folder it is read from.
        problems: What was wrong but stopped nothing, a sentence each; grows while reading.
    """

    path: Path
    problems: list[str]

    @property
    def cameras(self) -> tuple[CameraInput, ...]:
        """What there is to process."""

    def interval(self) -> Interval:
        """First time, and one after the last, as far as the recording says."""

    def read(
        self, interval: Interval, with_other_messages: bool = False
    ) -> Iterator[RecordedFrame | PassedMessage]:
        """All frames of an interval in order of time, and all other messages if asked for.

        What an interval gives does not depend on what was read before it.

        Raises:
            InputError: The recording cannot be read on from here.
        """

    def close(self) -> None:
        """Let go of the files."""


class Sink(Protocol):
    """A recording that is written, part by part.

    A part is complete on disk when `end_part` returns; whatever happens later, it stays. Parts
    may be written by several processes, each with a sink and numbers of its own, and put
    together by `finish`.

    Attributes:
        finish_is_cheap: Whether `finish` may be called after every part.
    """

    finish_is_cheap: bool

    def begin_part(self, number: int) -> None:
        """Begin a part; what an earlier process left of the same number is gone."""

    def encode(self, frame: RecordedFrame, prediction: Prediction) -> Any:
        """Make what `write` takes of a frame and what was predicted for it.

        May be called in any threads, for several frames at a time; belongs to no part.
        """

    def write(self, frame: RecordedFrame, encoded: Any) -> None:
        """Write what `encode` made of a frame; as all that follows, in one thread.

        Raises:
            InputError: It cannot be written, e.g. because the disk is full.
        """

    def pass_on(self, message: PassedMessage) -> None:
        """Take a message of the source as it is."""

    def end_part(self) -> dict[str, Any]:
        """Make the part whole on disk. Returns its record, which JSON can hold."""

    def discard_part(self) -> None:
        """Forget the part that was begun, if one was."""

    def finish(self, parts: Sequence[dict[str, Any]]) -> None:
        """Make the output valid with just these parts, in order of time; may be called again."""
