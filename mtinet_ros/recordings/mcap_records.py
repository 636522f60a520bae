# SPDX-License-Identifier: Apache-2.0
"""The records of MCAP (https://mcap.dev/spec): what their bytes say, and what cannot be."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_storage import zstd

MCAP_MAGIC = b"\x89MCAP0\r\n"

FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
CHUNK_INDEX, STATISTICS, DATA_END = 0x08, 0x0B, 0x0F

RECORD = struct.Struct("<BQ")  # opcode, length of what follows
MESSAGE_START = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time


class DamageError(Exception):
    """Bytes are not what the format says; the text can follow "is damaged: "."""


class Fields:
    """Reads the fields of a record one after the other."""

    def __init__(self, content: bytes | memoryview) -> None:
        """Begin at the record's start."""
        self._content = content
        self._at = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        """Numbers of a layout of `struct`, little-endian. Raises `DamageError` past the end."""
        try:
            values = struct.unpack_from(f"<{layout}", self._content, self._at)
        except struct.error as error:
            raise DamageError("a record ends too early") from error
        self._at += struct.calcsize(f"<{layout}")
        return values

    def blob(self) -> bytes:
        """Bytes that follow their length."""
        (length,) = self.numbers("I")
        if self._at + length > len(self._content):
            raise DamageError("a record ends too early")
        self._at += length
        return bytes(self._content[self._at - length : self._at])

    def text(self) -> str:
        """Text; bytes that are none are replaced."""
        return self.blob().decode("utf-8", "replace")

    def text_map(self) -> dict[str, str]:
        """Texts by text."""
        entries, found = Fields(self.blob()), {}
        while entries._at < len(entries._content):
            key = entries.text()
            found[key] = entries.text()
        return found


class IndexedChunk(NamedTuple):
    """What the summary says of a chunk; `counts` by channel id, None where it does not say."""

    start: int
    end: int
    offset: int
    length: int
    counts: Counter[int] | None


def message_start(record: memoryview) -> tuple[int, int, int, int]:
    """Channel, sequence number, record time and publish time of a message."""
    if len(record) < MESSAGE_START.size:
        raise DamageError("a message ends too early")
    number, sequence, time, published = MESSAGE_START.unpack_from(record)
    return number, sequence, time, published


def records(content: memoryview, may_end_early: bool = False) -> Iterator[tuple[int, memoryview]]:
    """Opcode and content of the records that lie one after the other."""
    at = 0
    while at + RECORD.size <= len(content):
        opcode, length = RECORD.unpack_from(content, at)
        begin = at + RECORD.size
        at = begin + length
        if at > len(content):
            break
        yield opcode, content[begin:at]
    if at != len(content) and not may_end_early:
        raise DamageError("a record ends too early")


def indexed_chunk(record: memoryview, file_size: int) -> IndexedChunk:
    """A chunk as the summary's index describes it."""
    fields = Fields(record)
    start, end, offset, length = fields.numbers("QQQQ")
    entries = fields.blob()
    (index_length,) = fields.numbers("Q")
    if offset + length + index_length > file_size or len(entries) % 10:
        raise DamageError("a chunk's place is outside the file")
    # A message index takes 15 bytes, and 16 for each message.
    offsets = sorted((at, number) for number, at in struct.iter_unpack("<HQ", entries))
    ends = [*(at for at, _ in offsets[1:]), offset + length + index_length]
    counts = Counter[int]()
    for (at, number), following in zip(offsets, ends, strict=False):  # without any, one end more
        if following - at < 15 or (following - at - 15) % 16:
            raise DamageError("a message index has no possible size")
        counts[number] += (following - at - 15) // 16
    was_indexed = bool(offsets) or not end
    return IndexedChunk(start, end, offset, length, counts if was_indexed else None)


def chunk_content(record: memoryview, is_cut: bool) -> memoryview:
    """The records in a chunk; with `is_cut` as many as there are, unchecked."""
    fields = Fields(record)
    _, _, size, crc = fields.numbers("QQQI")
    compression = fields.text()
    (packed_size,) = fields.numbers("Q")
    packed = record[fields._at : fields._at + packed_size]
    if len(packed) < packed_size and not is_cut:
        raise DamageError("a chunk ends too early")
    content = _unpacked(packed, compression)
    if is_cut:
        return content
    if len(content) != size:
        raise DamageError(f"a chunk has {len(content)} bytes in place of {size}")
    if crc and zlib.crc32(content) != crc:
        raise DamageError("the checksum of a chunk is wrong")
    return content


def _unpacked(packed: memoryview, compression: str) -> memoryview:
    """What a chunk holds; of data that breaks off, what came before."""
    if not compression:
        return packed
    try:
        if compression == "zstd":
            module = zstd()
            try:
                return memoryview(module.decompress(packed))
            except module.ZstdError:  # maybe what follows the data, or is missing of them
                return memoryview(module.ZstdDecompressor().decompress(packed))
        if compression == "lz4":
            from lz4 import frame  # type: ignore[import-untyped]

            try:
                return memoryview(frame.decompress(packed))
            except RuntimeError:
                return memoryview(frame.LZ4FrameDecompressor().decompress(packed))
    except InputError:
        raise
    except Exception as error:  # each library has its own
        raise DamageError(f"a chunk cannot be unpacked ({compression}: {error})") from error
    raise DamageError(f"a chunk is compressed with {compression[:20]!r}; zstd and lz4 can be read")
