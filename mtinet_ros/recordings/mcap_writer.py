# SPDX-License-Identifier: Apache-2.0
"""One MCAP file (https://mcap.dev/spec) of a bag, written without a copy of what is in it.

rosbags has a writer too; it copies every image several times on its way to the file, and takes no
message whose type has no known hash.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from mtinet_ros.recordings.bag_definitions import SERIALIZATION, TopicDescription
from mtinet_ros.recordings.bag_storage import zstd
from mtinet_ros.recordings.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEADER,
    MCAP_MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    MESSAGE_START,
    METADATA,
    METADATA_INDEX,
    RECORD,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
)

# Bytes of records after which a chunk ends; a reader takes in a whole one.
_CHUNK_BYTES = 1 << 20
_CHUNK_START = struct.Struct("<QQQI")  # first and last time, size, checksum (0: none)
_NO_CHECKSUM = 0
_LEVEL = 1  # of zstd: higher ones take long, and gain little on what a network computes


class McapWriter:
    """Writes a file; all of it is there, and nothing more to be done, after `close`."""

    def __init__(self, path: Path, is_compressed: bool = False) -> None:
        """Begin a file that is not there yet; with chunks of zstd if asked for.

        Raises:
            OSError: It cannot be written; here and in all methods.
            InputError: There is no zstd.
        """
        self._compress = partial(zstd().compress, level=_LEVEL) if is_compressed else None
        self._file = path.open("xb")
        self._schemas: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._channels: list[bytes] = []
        self._counts: list[int] = []
        self._times: list[tuple[int, int]] = []  # of each chunk
        self._chunk_indexes: list[bytes] = []
        self._begin_chunk()
        self._file.write(MCAP_MAGIC)
        self._file.write(_record(HEADER, _text("ros2"), _text("mtinet_ros")))

    def add_topic(self, topic: TopicDescription) -> int:
        """Tell of a topic; returns its number, for `write`."""
        key = (topic.type_name, topic.definition)
        if key not in self._schemas:
            number = len(self._schemas) + 1
            fields = (topic.type_name, topic.definition_format, topic.definition)
            schema = _record(SCHEMA, struct.pack("<H", number), *map(_text, fields))
            self._schemas[key] = (number, schema)
            self._put(schema)
        number = len(self._channels) + 1
        channel = _record(
            CHANNEL,
            struct.pack("<HH", number, self._schemas[key][0]),
            _text(topic.name),
            _text(SERIALIZATION),
            _text_map({"offered_qos_profiles": topic.qos, "topic_type_hash": topic.digest}),
        )
        self._channels.append(channel)
        self._counts.append(0)
        self._put(channel)
        return number

    def write(self, topic: int, time: int, data: bytes | memoryview) -> None:
        """Append a message, recorded at `time` in ns; `data` must not change any more."""
        self._counts[topic - 1] += 1
        self._index.setdefault(topic, []).append((time, self._size))
        self._put(
            RECORD.pack(MESSAGE, MESSAGE_START.size + len(data))
            + MESSAGE_START.pack(topic, self._counts[topic - 1], time, time)
        )
        self._put(data)
        if self._size >= _CHUNK_BYTES:
            self._end_chunk()

    def close(self, metadata: str) -> None:
        """End the file with rosbag2's metadata of it, and its summary."""
        if self._pieces:
            self._end_chunk()
        begin = self._file.tell()
        told = _record(METADATA, _text("rosbag2"), _text_map({"serialized_metadata": metadata}))
        self._file.write(told)
        self._file.write(_record(DATA_END, struct.pack("<I", _NO_CHECKSUM)))
        index = _record(METADATA_INDEX, struct.pack("<QQ", begin, len(told)), _text("rosbag2"))
        start = self._file.tell()
        groups = []
        for opcode, records in (
            (SCHEMA, [schema for _, schema in self._schemas.values()]),
            (CHANNEL, self._channels),
            (CHUNK_INDEX, self._chunk_indexes),
            (METADATA_INDEX, [index]),
            (STATISTICS, [self._statistics()]),
        ):
            begin = self._file.tell()
            self._file.writelines(records)
            place = struct.pack("<BQQ", opcode, begin, self._file.tell() - begin)
            groups.append(_record(SUMMARY_OFFSET, place))
        offsets = self._file.tell()
        self._file.writelines(groups)
        self._file.write(_record(FOOTER, struct.pack("<QQI", start, offsets, _NO_CHECKSUM)))
        self._file.write(MCAP_MAGIC)
        self._file.close()

    def abort(self) -> None:
        """Let go of the file, as it is."""
        self._file.close()

    def _begin_chunk(self) -> None:
        self._pieces: list[bytes | memoryview] = []
        self._size = 0
        self._index: dict[int, list[tuple[int, int]]] = {}

    def _put(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def _end_chunk(self) -> None:
        times = [time for entries in self._index.values() for time, _ in entries]
        first, last = (min(times), max(times)) if times else (0, 0)
        compression = "zstd" if self._compress else ""
        pieces = [self._compress(b"".join(self._pieces))] if self._compress else self._pieces
        packed = sum(map(len, pieces))
        begin = self._file.tell()
        start = _CHUNK_START.pack(first, last, self._size, _NO_CHECKSUM)
        start += _text(compression) + struct.pack("<Q", packed)
        self._file.write(RECORD.pack(CHUNK, len(start) + packed) + start)
        self._file.writelines(pieces)
        end = self._file.tell()
        places = b""
        for topic, entries in self._index.items():
            places += struct.pack("<HQ", topic, self._file.tell())
            packed_entries = b"".join(struct.pack("<QQ", *entry) for entry in entries)
            self._file.write(
                _record(MESSAGE_INDEX, struct.pack("<H", topic), _blob(packed_entries))
            )
        self._chunk_indexes.append(
            _record(
                CHUNK_INDEX,
                struct.pack("<QQQQ", first, last, begin, end - begin),
                _blob(places),
                struct.pack("<Q", self._file.tell() - end),
                _text(compression),
                struct.pack("<QQ", packed, self._size),
            )
        )
        if times:
            self._times.append((first, last))
        self._begin_chunk()

    def _statistics(self) -> bytes:
        first = min((first for first, _ in self._times), default=0)
        last = max((last for _, last in self._times), default=0)
        counts = (struct.pack("<HQ", *entry) for entry in enumerate(self._counts, 1))
        attachments, metadata = 0, 1
        return _record(
            STATISTICS,
            struct.pack("<QHI", sum(self._counts), len(self._schemas), len(self._channels)),
            struct.pack("<III", attachments, metadata, len(self._chunk_indexes)),
            struct.pack("<QQ", first, last),
            _blob(b"".join(counts)),
        )


def _record(opcode: int, *fields: bytes) -> bytes:
    return RECORD.pack(opcode, sum(map(len, fields))) + b"".join(fields)


def _blob(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _text(text: str) -> bytes:
    return _blob(text.encode("utf-8", "backslashreplace"))


def _text_map(entries: Mapping[str, str]) -> bytes:
    texts: Iterable[str] = (text for entry in entries.items() for text in entry)
    return _blob(b"".join(map(_text, texts)))
