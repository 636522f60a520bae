# SPDX-License-Identifier: Apache-2.0
"""One MCAP file of a bag, by the format's own library.

rosbags has a writer too; it takes no message whose type has no known hash, and what is passed on
from a recording may be of such a type.
"""

from __future__ import annotations

from pathlib import Path

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.recordings.bag_definitions import SERIALIZATION, TopicDescription


class McapWriter:
    """Writes a file; all of it is there, and nothing more to be done, after `close`."""

    def __init__(self, path: Path, is_compressed: bool = False) -> None:
        """Begin a file that is not there yet; with chunks of zstd if asked for.

        Raises:
            OSError: It cannot be written; here and in all methods.
            ConfigurationError: mcap is not installed.
        """
        try:
            from mcap.writer import CompressionType, Writer
        except ImportError as error:
            raise ConfigurationError(
                "writing bags needs the package mcap; pip install 'mtinet_ros[process]'"
            ) from error
        self._file = path.open("xb")
        compression = CompressionType.ZSTD if is_compressed else CompressionType.NONE
        self._writer = Writer(self._file, compression=compression)
        self._writer.start("ros2", "mtinet_ros")
        self._schemas: dict[tuple[str, str], int] = {}
        self._counts: dict[int, int] = {}

    def add_topic(self, topic: TopicDescription) -> int:
        """Tell of a topic; returns its number, for `write`."""
        key = (topic.type_name, topic.definition)
        if key not in self._schemas:
            self._schemas[key] = self._writer.register_schema(
                topic.type_name, topic.definition_format, _bytes(topic.definition)
            )
        number: int = self._writer.register_channel(
            topic.name,
            SERIALIZATION,
            self._schemas[key],
            {"offered_qos_profiles": topic.qos, "topic_type_hash": topic.digest},
        )
        self._counts[number] = 0
        return number

    def write(self, topic: int, time: int, data: bytes | memoryview) -> None:
        """Append a message, recorded at `time` in ns; `data` must not change any more."""
        self._counts[topic] += 1
        self._writer.add_message(topic, time, bytes(data), time, self._counts[topic])

    def close(self, metadata: str) -> None:
        """End the file with rosbag2's metadata of it, and its summary."""
        self._writer.add_metadata("rosbag2", {"serialized_metadata": metadata})
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.close()

    def abort(self) -> None:
        """Let go of the file, as it is."""
        self._file.close()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
