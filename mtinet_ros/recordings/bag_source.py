# SPDX-License-Identifier: Apache-2.0
"""A bag as a source of frames: rosbag2 of every version and storage, and bags of ROS 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.messages.image_message import is_compressed
from mtinet_ros.recordings.bag_camera import BagCamera
from mtinet_ros.recordings.bag_files import BagFiles
from mtinet_ros.recordings.bag_messages import MessageReader, plain
from mtinet_ros.recordings.bag_reading import BagReading
from mtinet_ros.recordings.bag_storage import CDR, ROS1, Channel
from mtinet_ros.recordings.bag_topics import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    CameraTopic,
    check_topics,
    choose_image_topics,
    name_cameras,
)
from mtinet_ros.recordings.frame import CameraInput, Interval, PassedMessage, RecordedFrame
from mtinet_ros.recordings.problem_list import ProblemList


class BagSource:
    """Frames of a bag's cameras (`Source`).

    Attributes:
        path: Folder or file of the bag.
        cameras: Cameras to process, with the number of their frames.
        problems: What was wrong but stopped nothing, a sentence each; grows while reading.
    """

    def __init__(
        self,
        path: Path,
        topics: Sequence[str] = (),
        camera_info_topics: Mapping[str, str] | None = None,
        rectify: bool = True,
        keeps_raw: bool = False,
    ) -> None:
        """Open the bag.

        Args:
            path: Folder of the bag, or one of its files.
            topics: Topics of the images to process; none: those of all cameras.
            camera_info_topics: Topic of the CameraInfo by topic or name of a camera, where it is
                not the sibling `camera_info`.
            rectify: Whether distorted images are undistorted.
            keeps_raw: Whether raw images that need no rectification are left in their bytes, for
                a backend that fits images itself.

        Raises:
            InputError: It is no bag, cannot be read, or has no such images or CameraInfo.
            ConfigurationError: rosbags is not installed.
        """
        self.path = path
        self.problems: list[str] = []
        self._told = ProblemList(self.problems, str(path))
        self._reader = MessageReader()
        self._files = BagFiles(path, self._told.tell)
        try:
            self._channels = self._readable_channels()
            chosen = self._choose(topics, camera_info_topics)
            self._cameras = [self._camera(camera, rectify, keeps_raw) for camera in chosen]
        except BaseException:
            self._files.close()
            raise
        self.cameras = tuple(
            CameraInput(
                camera.topic.name,
                camera.topic.topic,
                sum(self._files.counts[channel] for channel in camera.channels),
            )
            for camera in self._cameras
        )

    def interval(self) -> Interval:
        """Record time of the first message, and one after the last."""
        return Interval(self._files.start, self._files.end + 1)

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def read(
        self, interval: Interval, with_other_messages: bool = False
    ) -> Iterator[RecordedFrame | PassedMessage]:
        """All frames of an interval in order of record time, and all other messages if asked for.

        Frames carry their message then. What an interval gives does not depend on what was read
        before it.

        Raises:
            InputError: The recording cannot be read on from here.
        """
        begin = self._files.start if interval.start is None else interval.start
        end = self._files.end + 1 if interval.end is None else interval.end
        try:
            reading = BagReading(
                self._files, self._reader, self._cameras, list(self._channels), self._told
            )
            yield from reading.items(begin, end, with_other_messages)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error

    def _readable_channels(self) -> dict[Channel, int]:
        """Channels whose messages can be read, with the number of their messages."""
        counts = {channel: count for channel, count in self._files.counts.items() if count}
        if not counts:
            raise InputError(f"{self.path} is an empty bag: it holds no messages")
        readable = {
            channel: count
            for channel, count in counts.items()
            if channel.serialization in (CDR, ROS1)
        }
        others = sorted({channel.serialization for channel in counts if channel not in readable})
        if not readable:
            raise InputError(
                f"{self.path} holds messages in {', '.join(map(repr, others))}; only CDR, which "
                "ROS 2 writes, and that of ROS 1 can be read"
            )
        if others:
            topics = sorted(channel.topic for channel in counts if channel not in readable)
            self._told.add(
                f"has messages in {', '.join(map(repr, others))}, which cannot be "
                f"read and were left out: {', '.join(topics[:5])}"
                + (f" and {len(topics) - 5} more" if len(topics) > 5 else "")
            )
        return readable

    def _choose(
        self, topics: Sequence[str], camera_info_topics: Mapping[str, str] | None
    ) -> tuple[CameraTopic, ...]:
        types: dict[str, str] = {}
        for channel in self._channels:
            if types.get(channel.topic) not in (IMAGE, COMPRESSED_IMAGE):
                types[channel.topic] = channel.type_name
        try:
            if topics:
                chosen = check_topics(topics, types)
            else:
                chosen, notes = choose_image_topics(types, self._encodings(types))
                for note in notes:
                    self._told.tell(f"{self.path}: {note}")
            infos = self._camera_info_topics()
            for info in (camera_info_topics or {}).values():
                if info not in infos:
                    raise InputError(
                        f"it has no CameraInfo on {info}; CameraInfo is on "
                        f"{', '.join(infos[:8]) or 'no topic'}"
                    )
            return name_cameras(chosen, camera_info_topics)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error

    def _encodings(self, types: Mapping[str, str]) -> dict[str, str]:
        """Encoding, or format, of the first message of every image topic."""
        encodings = {}
        for topic, type_name in types.items():
            if type_name not in (IMAGE, COMPRESSED_IMAGE):
                continue
            stored = next(self._files.messages(self._channels_of(topic, type_name)), None)
            if stored is None:
                continue
            try:
                message = self._reader.message(plain(stored))
            except InputError:
                continue  # its frames will tell
            compressed = is_compressed(message)
            encodings[topic] = str(message.format if compressed else message.encoding)
        return encodings

    def _camera(self, camera: CameraTopic, rectify: bool, keeps_raw: bool) -> BagCamera:
        channels = tuple(
            channel
            for kind in (IMAGE, COMPRESSED_IMAGE)
            for channel in self._channels_of(camera.topic, kind)
        )
        first = next(self._files.messages(channels), None)
        infos = self._camera_info_topics()
        if infos and camera.camera_info_topic not in infos:
            self._told.report(
                f"{camera.name}:",
                f"there is no CameraInfo on {camera.camera_info_topic}; CameraInfo is on "
                f"{', '.join(infos[:8])}",
            )
        first_frame = self._files.start if first is None else first.time
        return BagCamera(camera, rectify, self._told, channels, first_frame, keeps_raw)

    def _camera_info_topics(self) -> list[str]:
        return sorted({c.topic for c in self._channels if c.type_name == CAMERA_INFO})

    def _channels_of(self, topic: str, type_name: str) -> list[Channel]:
        """Channels of a topic and type."""
        return [c for c in self._channels if (c.topic, c.type_name) == (topic, type_name)]
