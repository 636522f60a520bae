# SPDX-License-Identifier: Apache-2.0
"""One file of a bag, whatever its format: topics, and messages in order of time.

The formats have readers of their own here, rather than rosbags' readers, because those refuse a
whole file for what recordings of robots often have: an end that was cut off, one damaged chunk, a
topic of another serialization, a writer that is not ROS 2. rosbags understands what is inside the
messages.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from mtinet_ros.errors import InputError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

# Serializations that can be read: that of ROS 2, and that of ROS 1.
CDR = "cdr"
ROS1 = "ros1"


@dataclass(frozen=True)
class Channel:
    """What a file says of a topic; the `connection` of a message that is passed on.

    Attributes:
        topic: Its name.
        type_name: As ROS 2 spells it, e.g. `sensor_msgs/msg/Image`.
        serialization: `cdr`, `ros1`, or what cannot be read here.
        definition: Text of the type's definition; empty: the file has none.
        definition_format: `ros2msg`, `ros2idl`, …; empty: none.
        digest: Hash of the type (REP 2011); empty: none.
        qos: YAML text of the publishers' quality of service; empty: none.
    """

    topic: str
    type_name: str
    serialization: str
    definition: str = ""
    definition_format: str = ""
    digest: str = ""
    qos: str = ""


class StoredMessage(NamedTuple):
    """A message in a file: record time in ns, its channel, and its serialized content."""

    time: int
    channel: Channel
    data: bytes | memoryview


class Storage(Protocol):
    """A file of a bag.

    Attributes:
        counts: Number of messages by channel.
        start: Record time of the first message in ns; 0 without any.
        end: Record time of the last one.
    """

    counts: dict[Channel, int]
    start: int
    end: int

    def last_time(self, channel: Channel) -> int:
        """A record time after which no message of the channel comes; below `start` without any."""

    def messages(
        self, channels: Collection[Channel], start: int, end: int
    ) -> Iterator[StoredMessage]:
        """Messages with start <= time < end, in order of time, then as they lie in the file."""

    def close(self) -> None:
        """Let go of the file."""


class Piece(NamedTuple):
    """Messages that lie together: nothing in it is before `start`; `order` decides between equals.

    `load` gives them in order of time; it is called when the first may be due.
    """

    start: int
    order: int
    load: Callable[[], Iterable[StoredMessage]]


def merged(pieces: Iterable[Piece]) -> Iterator[StoredMessage]:
    """The messages of all pieces in order of time, then of pieces; few are loaded at a time."""
    due: list[tuple[int, int, StoredMessage, Iterator[StoredMessage]]] = []

    def messages_before(limit: int | None) -> Iterator[StoredMessage]:
        while due and (limit is None or due[0][0] < limit):
            _, order, message, others = due[0]
            following = next(others, None)
            if following is None:
                heapq.heappop(due)
            else:
                heapq.heapreplace(due, (following.time, order, following, others))
            yield message

    for piece in sorted(pieces, key=lambda piece: (piece.start, piece.order)):
        yield from messages_before(piece.start)
        messages = iter(piece.load())
        first = next(messages, None)
        if first is not None:
            heapq.heappush(due, (first.time, piece.order, first, messages))
    yield from messages_before(None)


def modern_type_name(name: str) -> str:
    """`sensor_msgs/Image`, as ROS 1 and the first ROS 2 have it, as `sensor_msgs/msg/Image`."""
    package, slash, short = name.partition("/")
    return f"{package}/msg/{short}" if slash and "/" not in short else name


def zstd() -> Any:
    """The module that unpacks zstd: Python's own, or its backport, which rosbags brings.

    Raises:
        InputError: There is none.
    """
    try:
        from compression import zstd as module  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd as module
        except ImportError as error:
            raise InputError(
                "it is compressed with zstd, and Python has no zstd here; "
                "pip install backports.zstd"
            ) from error
    return module
