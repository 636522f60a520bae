# SPDX-License-Identifier: Apache-2.0
"""One SQLite file of a bag: rosbag2's tables (rosbag2_storage_sqlite3, schema 4)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mtinet_ros.recordings.bag_definitions import SERIALIZATION, TopicDescription
from mtinet_ros.recordings.bag_parts import METADATA_VERSION

_SCHEMA_VERSION = 4

# No journal and no waiting: a file that is not whole is thrown away, and one that is whole is
# flushed before it gets its name.
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
BEGIN;
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(
    id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE topics(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
    serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL,
    type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(
    id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,
    encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE messages(
    id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    data BLOB NOT NULL);
"""


class SqliteWriter:
    """Writes a file; all of it is there, and nothing more to be done, after `close`."""

    def __init__(self, path: Path) -> None:
        """Begin a file.

        Raises:
            sqlite3.Error: It cannot be written; here and in all methods.
        """
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._types: set[str] = set()
        self._topics = 0
        try:
            self._database.executescript(_TABLES)
            self._database.execute("INSERT INTO schema VALUES (?, '')", (_SCHEMA_VERSION,))
        except sqlite3.Error:
            self._database.close()
            raise

    def add_topic(self, topic: TopicDescription) -> int:
        """Tell of a topic; returns its number, for `write`."""
        if topic.type_name not in self._types:
            self._types.add(topic.type_name)
            self._database.execute(
                "INSERT INTO message_definitions VALUES (NULL, ?, ?, ?, ?)",
                (topic.type_name, topic.definition_format, topic.definition, topic.digest),
            )
        self._topics += 1
        self._database.execute(
            "INSERT INTO topics VALUES (?, ?, ?, ?, ?, ?)",
            (self._topics, topic.name, topic.type_name, SERIALIZATION, topic.qos, topic.digest),
        )
        return self._topics

    def write(self, topic: int, time: int, data: bytes | memoryview) -> None:
        """Append a message, recorded at `time` in ns."""
        self._database.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?)", (topic, time, data))

    def close(self, metadata: str) -> None:
        """End the file with rosbag2's metadata of it."""
        self._database.execute(
            "INSERT INTO metadata VALUES (NULL, ?, ?)", (METADATA_VERSION, metadata)
        )
        self._database.execute("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
        self._database.execute("COMMIT")
        self._database.close()

    def abort(self) -> None:
        """Let go of the file, as it is."""
        self._database.close()
