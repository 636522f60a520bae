# SPDX-License-Identifier: Apache-2.0
"""MCAP files: by their index, or record by record where that is missing.

A file that was cut off gives all messages that are whole; a chunk that is damaged is left out.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_storage import (
    Channel,
    Piece,
    StoredMessage,
    merged,
    modern_type_name,
)
from mtinet_ros.recordings.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    MCAP_MAGIC,
    MESSAGE,
    MESSAGE_START,
    RECORD,
    SCHEMA,
    STATISTICS,
    DamageError,
    Fields,
    chunk_content,
    indexed_chunk,
    message_start,
    records,
)
from mtinet_ros.recordings.problem_list import Loss

_FOOTER_SIZE = RECORD.size + 20

# Messages outside chunks are loaded in runs: bytes after which a run ends.
_RUN_BYTES = 1 << 20


@dataclass
class _Part:
    """Bytes of the file that hold records: a chunk, or a run of messages outside of chunks.

    Attributes:
        start: First record time in it.
        end: Last one.
        offset: Where it begins, a chunk with its opcode.
        length: Bytes.
        is_chunk: Whether it is a chunk.
        is_cut: Whether the file ends within it.
        counts: Messages by channel id; None: not known.
    """

    start: int
    end: int
    offset: int
    length: int
    is_chunk: bool
    is_cut: bool = False
    counts: Counter[int] | None = field(default_factory=Counter)


class McapStorage:
    """A file in the format MCAP (`Storage`)."""

    def __init__(self, path: Path, name: Path, tell: Callable[[str], None]) -> None:
        """Read the index, or the file from its beginning to its end where there is none.

        Args:
            path: The file.
            name: What sentences call it.
            tell: Takes sentences about what is damaged or missing.

        Raises:
            InputError: It is no MCAP.
            OSError: It cannot be read.
        """
        self._name = name
        self._tell = tell
        self._schemas: dict[int, tuple[str, str, str]] = {}  # name, encoding, text
        self._channels: dict[int, Channel] = {}
        self._parts: list[_Part] = []
        self._file: BinaryIO = path.open("rb")
        try:
            self._size = path.stat().st_size
            if self._file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
                raise InputError(f"{name} is no MCAP file: its first bytes are others")
            self._index()
        except BaseException:
            self.close()
            raise
        self.counts: dict[Channel, int] = dict.fromkeys(self._channels.values(), 0)
        for part in self._parts:
            for number, count in (part.counts or {}).items():
                if number in self._channels:
                    self.counts[self._channels[number]] += count
        full = [part for part in self._parts if part.counts]
        self.start = min((part.start for part in full), default=0)
        self.end = max((part.end for part in full), default=0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def last_time(self, channel: Channel) -> int:
        """A record time after which no message of the channel comes; below `start` without any."""
        numbers = [number for number, other in self._channels.items() if other == channel]
        return max(
            (
                part.end
                for part in self._parts
                if part.counts and any(part.counts[number] for number in numbers)
            ),
            default=self.start - 1,
        )

    def messages(
        self, channels: Collection[Channel], start: int, end: int
    ) -> Iterator[StoredMessage]:
        """Messages with start <= time < end, in order of time, then as they lie in the file."""
        wanted = {
            number: channel for number, channel in self._channels.items() if channel in channels
        }

        def piece(part: _Part) -> Piece:
            def load() -> Iterator[StoredMessage]:
                return self._messages_of(part, wanted, start, end)

            return Piece(part.start, part.offset, load)

        return merged(
            piece(part)
            for part in self._parts
            if part.counts
            and part.start < end
            and part.end >= start
            and any(part.counts[number] for number in wanted)
        )

    def _messages_of(
        self, part: _Part, wanted: dict[int, Channel], start: int, end: int
    ) -> Iterator[StoredMessage]:
        found = []
        try:
            content = self._content(part)
            for opcode, record in records(content, part.is_cut):
                if opcode == MESSAGE:
                    number, _, time, _ = message_start(record)
                    if number in wanted and start <= time < end:
                        data = record[MESSAGE_START.size :]
                        found.append(StoredMessage(time, wanted[number], data))
        except DamageError as error:
            self._tell_damage(part, error, bool(found))
        found.sort(key=lambda message: message.time)
        for message in found:
            yield message._replace(data=_kept_alone(message.data, len(content)))

    def _tell_damage(self, part: _Part, error: DamageError, is_partly_read: bool) -> None:
        count = sum((part.counts or {}).values())
        lost = (
            f"its {count} messages are" if count and not is_partly_read else "messages in it are"
        )
        self._tell(
            Loss(f"{self._name} is damaged at byte {part.offset}: {error}; {lost} left out")
        )

    def _content(self, part: _Part) -> memoryview:
        """The records in a part, unpacked and checked."""
        content = memoryview(self._read(part.offset, part.length))
        if not part.is_chunk:
            return content
        opcode, _ = RECORD.unpack_from(content)
        if opcode != CHUNK:
            raise DamageError("there is no chunk where the index says so")
        return chunk_content(content[RECORD.size :], part.is_cut)

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        content = self._file.read(length)
        if len(content) < length:
            raise DamageError("the file ends before")
        return content

    def _index(self) -> None:
        """Fill channels and parts."""
        try:
            if self._read_summary():
                return
        except DamageError as error:
            self._tell(
                f"{self._name} has no usable index ({error}); it was read from its beginning"
            )
        self._schemas, self._channels, self._parts = {}, {}, []
        self._scan()

    def _read_summary(self) -> bool:
        """Take over the summary at the file's end. Returns whether all that is needed is in it."""
        footer_at = self._size - _FOOTER_SIZE - len(MCAP_MAGIC)
        if footer_at < len(MCAP_MAGIC):
            raise DamageError("it was cut off")
        end = self._read(footer_at, _FOOTER_SIZE + len(MCAP_MAGIC))
        if end[_FOOTER_SIZE:] != MCAP_MAGIC or RECORD.unpack_from(end) != (FOOTER, 20):
            raise DamageError("it was cut off, or never closed")
        begin, _, crc = struct.unpack_from("<QQI", end, RECORD.size)
        if not begin:
            return False
        if not len(MCAP_MAGIC) < begin <= footer_at:
            raise DamageError("its place is outside the file")
        summary = self._read(begin, footer_at - begin)
        if crc and zlib.crc32(end[: _FOOTER_SIZE - 4], zlib.crc32(summary)) != crc:
            raise DamageError("its checksum is wrong")
        statistics: tuple[int, ...] = ()
        for opcode, record in records(memoryview(summary)):
            if opcode == STATISTICS:
                statistics = Fields(record).numbers("QHIIII")
            elif opcode == CHUNK_INDEX:
                start, last, offset, length, counts = indexed_chunk(record, self._size)
                self._parts.append(_Part(start, last, offset, length, True, counts=counts))
            else:
                self._take_definition(opcode, record)
        counted = Counter[int]()
        for part in self._parts:
            if part.counts is None:
                return False
            counted.update(part.counts)
        return (
            bool(statistics)
            and statistics[5] == len(self._parts)  # chunks
            and statistics[0] == sum(counted.values())  # messages, those outside of chunks too
            and set(counted) <= set(self._channels)
        )

    def _scan(self) -> None:
        """Walk through the file, whose end may be missing."""
        at = len(MCAP_MAGIC)
        run: _Part | None = None
        while at < self._size:
            head = self._read(at, min(RECORD.size, self._size - at))
            opcode, length = RECORD.unpack(head) if len(head) == RECORD.size else (-1, 0)
            total = RECORD.size + length
            if opcode in (DATA_END, FOOTER):
                return
            is_cut = opcode == -1 or at + total > self._size
            if opcode == 0 or (is_cut and opcode != CHUNK):
                left = self._size - at
                self._tell(
                    Loss(
                        f"{self._name} breaks off at byte {at}: its last {left} bytes are left out"
                    )
                )
                return
            if opcode == MESSAGE:
                if run is None or run.length > _RUN_BYTES:
                    run = _Part(0, 0, at, 0, is_chunk=False)
                    self._parts.append(run)
                self._add_to_run(run, at, total)
            else:
                run = None
            if opcode == CHUNK:
                self._scan_chunk(at, min(total, self._size - at), is_cut)
            elif opcode in (SCHEMA, CHANNEL):
                try:
                    record = memoryview(self._read(at + RECORD.size, length))
                    self._take_definition(opcode, record)
                except DamageError as error:
                    self._tell(Loss(f"{self._name} is damaged at byte {at}: {error}"))
            at += total

    def _add_to_run(self, run: _Part, at: int, total: int) -> None:
        run.length += total
        start = self._read(at + RECORD.size, min(total - RECORD.size, MESSAGE_START.size))
        if len(start) == MESSAGE_START.size:
            number, _, time, _ = MESSAGE_START.unpack(start)
            _count(run, number, time)

    def _scan_chunk(self, at: int, length: int, is_cut: bool) -> None:
        part = _Part(0, 0, at, length, is_chunk=True, is_cut=is_cut)
        try:
            for opcode, record in records(self._content(part), is_cut):
                if opcode == MESSAGE:
                    number, _, time, _ = message_start(record)
                    _count(part, number, time)
                else:
                    self._take_definition(opcode, record)
        except DamageError as error:
            self._tell_damage(part, error, bool(part.counts))
        if is_cut:
            count = sum((part.counts or {}).values())
            self._tell(
                Loss(
                    f"{self._name} breaks off within the chunk at byte {at}, of which {count} "
                    "messages could be read"
                )
            )
        if part.counts:
            self._parts.append(part)

    def _take_definition(self, opcode: int, record: memoryview) -> None:
        if opcode == SCHEMA:
            fields = Fields(record)
            (number,) = fields.numbers("H")
            self._schemas[number] = (fields.text(), fields.text(), fields.text())
        elif opcode == CHANNEL:
            fields = Fields(record)
            number, schema = fields.numbers("HH")
            name, encoding, text = self._schemas.get(schema, ("", "", ""))
            topic, serialization, metadata = fields.text(), fields.text(), fields.text_map()
            self._channels[number] = Channel(
                topic=topic,
                type_name=modern_type_name(name),
                serialization=serialization,
                definition=text,
                definition_format=encoding,
                digest=metadata.get("topic_type_hash", ""),
                qos=metadata.get("offered_qos_profiles", ""),
            )


def _kept_alone(data: bytes | memoryview, size: int) -> bytes | memoryview:
    """A copy of what is a small piece of so many bytes, which would stay as long as it does."""
    return data if 2 * len(data) > size else bytes(data)


def _count(part: _Part, number: int, time: int) -> None:
    assert part.counts is not None
    part.start = min(part.start, time) if part.counts else time
    part.end = max(part.end, time)
    part.counts[number] += 1
