# SPDX-License-Identifier: Apache-2.0
"""Bags of ROS 1 (.bag), as rosbags reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_storage import ROS1, Channel, StoredMessage
from mtinet_ros.recordings.problem_list import Loss

ROS1_MAGIC = b"#ROSBAG V"


class Ros1Storage:
    """A file in the format of ROS 1 (`Storage`)."""

    def __init__(self, path: Path, name: Path, tell: Callable[[str], None]) -> None:
        """Read the index.

        Args:
            path: The file.
            name: What sentences call it.
            tell: Takes sentences about what is damaged.

        Raises:
            InputError: It cannot be read.
        """
        from rosbags.rosbag1 import Reader

        self._name = name
        self._tell = tell
        self._reader: Any = Reader(path)
        try:
            self._reader.open()
        except OSError:
            raise
        except Exception as error:  # bytes from outside in foreign code
            raise InputError(
                f"{name} cannot be read as a bag of ROS 1: {error}; `rosbag reindex` mends one "
                "that was not closed"
            ) from error
        self._channels: dict[tuple[str, str], Channel] = {}
        self.counts: dict[Channel, int] = {}
        for connection in self._reader.connections:  # one for each publisher
            channel = self._channels.setdefault(
                (connection.topic, connection.msgtype),
                Channel(
                    topic=connection.topic,
                    type_name=connection.msgtype,
                    serialization=ROS1,
                    definition=connection.msgdef.data,
                    definition_format="ros1msg",
                ),
            )
            self.counts[channel] = self.counts.get(channel, 0) + connection.msgcount
        is_empty = not self._reader.message_count
        self.start = 0 if is_empty else int(self._reader.start_time)
        self.end = 0 if is_empty else int(self._reader.end_time) - 1

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def last_time(self, channel: Channel) -> int:
        """A record time after which no message of the channel comes; below `start` without any."""
        return self.end if self.counts.get(channel) else self.start - 1

    def messages(
        self, channels: Collection[Channel], start: int, end: int
    ) -> Iterator[StoredMessage]:
        """Messages with start <= time < end, in order of time."""
        wanted = [
            connection
            for connection in self._reader.connections
            if self._channels[connection.topic, connection.msgtype] in channels
        ]
        if not wanted:
            return
        try:
            for connection, time, data in self._reader.messages(wanted, start, end):
                yield StoredMessage(
                    time, self._channels[connection.topic, connection.msgtype], data
                )
        except OSError:  # the disk's fault, not the bag's
            raise
        except Exception as error:  # bytes from outside in foreign code
            self._tell(Loss(f"{self._name} cannot be read to its end: {error}"))
