# SPDX-License-Identifier: Apache-2.0
"""One file of a bag, written with rosbags: there as a whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_definitions import TopicDescription
from mtinet_ros.recordings.bag_parts import VERSION, FileRecord, TopicRecord
from mtinet_ros.recordings.bag_types import rosbags_needed

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

SERIALIZATION = "cdr"
SUFFIXES = {"mcap": ".mcap", "sqlite3": ".db3"}


class PartFile:
    """A file of a bag that is being written, in a hidden folder beside its place."""

    def __init__(self, folder: Path, stem: str, storage: str, compressed: bool) -> None:
        """Begin it; what an earlier process left of it is gone.

        Args:
            folder: The bag's.
            stem: Name of the file without its suffix.
            storage: `mcap` or `sqlite3`.
            compressed: Whether chunks of an mcap are compressed with zstd.

        Raises:
            InputError: It cannot be written.
            ConfigurationError: rosbags is not installed.
        """
        with rosbags_needed():
            from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        self.path = folder / (stem + SUFFIXES[storage])
        self._storage = storage
        self._aside = folder / f".{stem}.part"
        self._counts: dict[TopicDescription, int] = {}
        self._connections: dict[TopicDescription, Connection] = {}
        self._times: tuple[int, int] | None = None
        # The writer names the file after the folder that it is in.
        inner = self._aside / stem
        with self._errors():
            shutil.rmtree(self._aside, ignore_errors=True)
            self.path.unlink(missing_ok=True)
            self._aside.mkdir()
            try:
                self._writer = Writer(
                    inner, version=VERSION, storage_plugin=StoragePlugin[storage.upper()]
                )
                if compressed:
                    self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
                self._writer.open()
            except Exception:
                shutil.rmtree(self._aside, ignore_errors=True)
                raise

    def write(self, topic: TopicDescription, time: int, data: bytes | memoryview) -> None:
        """Append a message, recorded at `time` in ns.

        Raises:
            InputError: It cannot be written.
        """
        with self._errors():
            connection = self._connections.get(topic)
            if connection is None:
                connection = self._connections[topic] = self._add(topic)
            self._writer.write(connection, time, data)
        self._counts[topic] = self._counts.get(topic, 0) + 1
        first, last = self._times or (time, time)
        self._times = (min(first, time), max(last, time))

    def _add(self, topic: TopicDescription) -> Connection:
        """Tell the file of a topic.

        Not with the writer's own method, which takes no type whose hash is not known.
        """
        from rosbags.interfaces import (
            Connection,
            ConnectionExtRosbag2,
            MessageDefinition,
            MessageDefinitionFormat,
        )
        from rosbags.rosbag2.metadata import dump_qos_v8

        writer = self._writer
        is_idl = topic.definition_format == "ros2idl"
        kind = MessageDefinitionFormat.IDL if is_idl else MessageDefinitionFormat.MSG
        connection = Connection(
            id=len(writer.connections) + 1,
            topic=topic.name,
            msgtype=topic.type_name,
            msgdef=MessageDefinition(kind, topic.definition),
            digest=topic.digest,
            msgcount=0,
            ext=ConnectionExtRosbag2(SERIALIZATION, list(topic.qos)),
            owner=writer,
        )
        assert writer.storage is not None
        if topic.type_name not in writer.added_types:
            writer.storage.add_msgtype(connection)
            writer.added_types.add(topic.type_name)
        writer.storage.add_connection(connection, dump_qos_v8(list(topic.qos)))
        writer.connections.append(connection)
        writer.counts[connection.id] = 0
        return connection

    def end(self, notes: dict[str, tuple[str, ...]]) -> FileRecord | None:
        """Put the file in its place, whole and on the disk; None, and no file, if it is empty.

        Args:
            notes: For the record.

        Raises:
            InputError: It cannot be written; it is then as if it had not been begun.
        """
        from rosbags.rosbag2.metadata import dump_qos_v8

        if self._times is None:
            self.discard()
            return None
        with self._errors():
            self._writer.close()
            whole = self._aside / self.path.stem / self.path.name
            with whole.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(whole, self.path)
            flush_folder(self.path.parent)
        shutil.rmtree(self._aside, ignore_errors=True)
        topics = tuple(
            TopicRecord(
                name=topic.name,
                type_name=topic.type_name,
                serialization=SERIALIZATION,
                qos=dump_qos_v8(list(topic.qos)),
                digest=topic.digest,
                messages=count,
            )
            for topic, count in self._counts.items()
        )
        return FileRecord(self.path.name, self._storage, *self._times, topics, notes)

    def discard(self) -> None:
        """Leave nothing of it."""
        with contextlib.suppress(Exception):
            self._writer.abort()
        shutil.rmtree(self._aside, ignore_errors=True)

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


def flush_folder(folder: Path) -> None:
    """Wait until the names of a folder's files are on the disk.

    Raises:
        OSError: They cannot be.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
