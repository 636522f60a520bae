# SPDX-License-Identifier: Apache-2.0
"""One file of a bag that is written: there as a whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_definitions import SERIALIZATION, TopicDescription
from mtinet_ros.recordings.bag_parts import FileRecord, TopicRecord, metadata_text
from mtinet_ros.recordings.disk import flush_folder
from mtinet_ros.recordings.mcap_writer import McapWriter
from mtinet_ros.recordings.sqlite_writer import SqliteWriter

SUFFIXES = {"mcap": ".mcap", "sqlite3": ".db3"}

# rosbag2 has record times in 64 bits with a sign, and none before 1970.
_LAST_TIME = 2**63 - 1


class PartFile:
    """A file of a bag that is being written, under a hidden name until it is whole."""

    def __init__(self, folder: Path, stem: str, storage: str, is_compressed: bool) -> None:
        """Begin it; what an earlier process left of it is gone.

        Args:
            folder: The bag's.
            stem: Name of the file without its suffix.
            storage: `mcap` or `sqlite3`.
            is_compressed: Whether chunks of an mcap are compressed with zstd.

        Raises:
            InputError: It cannot be written.
        """
        self.path = folder / (stem + SUFFIXES[storage])
        self._storage = storage
        self._aside = folder / f".{self.path.name}.part"
        self._topics: dict[TopicDescription, int] = {}
        self._counts: dict[TopicDescription, int] = {}
        self._times: tuple[int, int] | None = None
        with self._errors():
            self._aside.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            self._writer: McapWriter | SqliteWriter
            try:
                if storage == "mcap":
                    self._writer = McapWriter(self._aside, is_compressed)
                else:
                    self._writer = SqliteWriter(self._aside)
            except (OSError, sqlite3.Error):
                with contextlib.suppress(OSError):
                    self._aside.unlink(missing_ok=True)
                raise

    def write(self, topic: TopicDescription, time: int, data: bytes | memoryview) -> None:
        """Append a message, recorded at `time` in ns; `data` must not change any more.

        Raises:
            InputError: It cannot be written.
        """
        if not can_be_time(time):
            raise InputError(
                f"{topic.name} has a message recorded at {time} ns; a bag allows 0 to {_LAST_TIME}"
            )
        with self._errors():
            number = self._topics.get(topic)
            if number is None:
                number = self._topics[topic] = self._writer.add_topic(topic)
            self._writer.write(number, time, data)
        self._counts[topic] = self._counts.get(topic, 0) + 1
        first, last = self._times or (time, time)
        self._times = (min(first, time), max(last, time))

    def end(self, notes: dict[str, tuple[str, ...]]) -> FileRecord | None:
        """Put the file in its place, whole and on the disk; None, and no file, if it is empty.

        Args:
            notes: For the record.

        Raises:
            InputError: It cannot be written.
        """
        if self._times is None:
            self.discard()
            return None
        topics = tuple(
            TopicRecord(topic.name, topic.type_name, SERIALIZATION, topic.qos, topic.digest, count)
            for topic, count in self._counts.items()
        )
        record = FileRecord(self.path.name, self._storage, *self._times, topics, notes)
        with self._errors():
            self._writer.close(metadata_text([record]))
            with self._aside.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(self._aside, self.path)
            flush_folder(self.path.parent)
        return record

    def discard(self) -> None:
        """Leave nothing of it."""
        with contextlib.suppress(OSError, sqlite3.Error):
            self._writer.abort()
        with contextlib.suppress(OSError):
            self._aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what a disk can do into one sentence."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            is_full = getattr(error, "errno", None) == errno.ENOSPC or "disk is full" in reason
            advice = "make room" if is_full else "choose another place, or make it writable"
            raise InputError(f"cannot write {self.path}: {reason}; {advice}") from error


def can_be_time(time: int) -> bool:
    """Whether a bag can say that something was recorded at that time in ns."""
    return 0 <= time <= _LAST_TIME
