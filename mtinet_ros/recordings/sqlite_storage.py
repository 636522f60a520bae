# SPDX-License-Identifier: Apache-2.0
"""SQLite files of rosbag2 (.db3), of every version of its tables, never written to.

What lies beside a database that was not closed (a -wal or -journal file) belongs to it: both are
then copied to a temporary folder, where SQLite puts them together.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_storage import Channel, StoredMessage, modern_type_name
from mtinet_ros.recordings.problem_list import Loss

SQLITE_MAGIC = b"SQLite format 3\0"

# What reading a damaged file raises; the second for what SQLite says of it.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)

_IO_ERROR = 10  # SQLITE_IOERR

_ANOTHER_PLACE = "choose a place with more room by the variable TMPDIR"

# Ids that are tried one by one behind a damaged place, before the steps grow.
_NEAR_IDS = 256


class SqliteStorage:
    """A file in the format SQLite (`Storage`)."""

    def __init__(self, path: Path, name: Path, tell: Callable[[str], None]) -> None:
        """List what the file holds.

        Args:
            path: The file.
            name: What sentences call it.
            tell: Takes sentences about what is damaged or missing.

        Raises:
            InputError: It is no bag, or cannot be copied where that is needed.
            OSError: It cannot be read.
        """
        self._path = path
        self._name = name
        self._tell = tell
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._connection = self._connect()
        self._connection.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            self._topics = self._first_look()
            self._ids, self._numbers, self._times = self._list_messages()
        except (*_ERRORS, OSError) as error:
            copy = self._place_of_copy()
            self.close()
            if copy:  # where SQLite needs some more room than the files take
                raise InputError(
                    f"{name} cannot be read as a bag of rosbag2 from its copy in {copy}: SQLite "
                    f"says: {error}; if there is no room, {_ANOTHER_PLACE}"
                ) from error
            if isinstance(error, OSError):
                raise
            raise InputError(
                f"{name} cannot be read as a bag of rosbag2: SQLite says: {error}"
            ) from error
        except BaseException:
            self.close()
            raise
        counted = dict(zip(*np.unique(self._numbers, return_counts=True), strict=True))
        self.counts: dict[Channel, int] = dict.fromkeys(self._topics.values(), 0)
        for number, channel in self._topics.items():
            self.counts[channel] += int(counted.get(number, 0))
        self.start = int(self._times[0]) if self._times.size else 0
        self.end = int(self._times[-1]) if self._times.size else 0

    def close(self) -> None:
        """Let go of the file, and of the copy if there is one."""
        self._connection.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _place_of_copy(self) -> str:
        return self._folder.name if self._folder is not None else ""

    def last_time(self, channel: Channel) -> int:
        """Record time of the last message of a channel; below `start` without any."""
        times = self._times[np.isin(self._numbers, self._numbers_of([channel]))]
        return int(times[-1]) if times.size else self.start - 1

    def messages(
        self, channels: Collection[Channel], start: int, end: int
    ) -> Iterator[StoredMessage]:
        """Messages with start <= time < end, in order of time, then as they lie in the file."""
        first, last = np.searchsorted(self._times, [start, end])
        wanted = np.isin(self._numbers[first:last], self._numbers_of(channels))
        lost = 0
        for at in np.flatnonzero(wanted) + first:
            message_id, number = int(self._ids[at]), int(self._numbers[at])
            try:
                data = self._data_of(message_id)
            except _ERRORS as error:
                _blame_the_disk(error)
                data, why = None, str(error)
                lost += 1
            if isinstance(data, bytes):
                yield StoredMessage(int(self._times[at]), self._topics[number], data)
        if lost:
            self._tell(Loss(f"{self._name} is damaged ({why}): {lost} messages are left out"))

    def _data_of(self, message_id: int) -> Any:
        query = "SELECT data FROM messages WHERE id = ?"
        row = self._connection.execute(query, (message_id,)).fetchone()
        return row[0] if row else None

    def _numbers_of(self, channels: Collection[Channel]) -> list[int]:
        return [number for number, channel in self._topics.items() if channel in channels]

    def _connect(self) -> sqlite3.Connection:
        with self._path.open("rb") as file:
            if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                raise InputError(f"{self._name} is no SQLite file: its first bytes are others")
        beside = [
            path
            for suffix in ("-wal", "-journal")
            if (path := self._path.with_name(self._path.name + suffix)).is_file()
            and path.stat().st_size
        ]
        if not beside:
            # "immutable": no lock, and nothing is written beside it, whatever the header says.
            uri = f"{self._path.resolve().as_uri()}?mode=ro&immutable=1"
            return self._opened(uri, is_uri=True)
        self._folder = self._copied((self._path, *beside))
        self._tell(
            f"{self._name} was not closed by its recorder; a copy was put together with "
            f"{', '.join(path.name for path in beside)}"
        )
        copy = Path(self._folder.name, self._path.name)
        return self._opened(str(copy), is_uri=False)

    def _opened(self, database: str, is_uri: bool) -> sqlite3.Connection:
        try:
            return sqlite3.connect(database, uri=is_uri, check_same_thread=False)
        except sqlite3.Error as error:
            if self._folder is not None:
                self._folder.cleanup()
            raise InputError(
                f"{self._name} cannot be opened as {database}: SQLite says: {error}; it opens no "
                "path of more than 511 bytes"
            ) from error

    def _copied(self, paths: Sequence[Path]) -> tempfile.TemporaryDirectory[str]:
        """A temporary folder with these files; nothing is left of one that has no room."""
        place = tempfile.gettempdir()
        try:
            folder = tempfile.TemporaryDirectory(prefix="mtinet_bag_")
            try:
                for path in paths:
                    shutil.copyfile(path, Path(folder.name, path.name))
            except BaseException:
                folder.cleanup()
                raise
        except OSError as error:
            size = sum(path.stat().st_size for path in paths)
            raise InputError(
                f"{self._name} was not closed by its recorder, and cannot be copied into {place} "
                f"with what belongs to it ({size / 1e6:.1f} MB): {error.strerror or error}; "
                f"{_ANOTHER_PLACE}"
            ) from error
        return folder

    def _first_look(self) -> dict[int, Channel]:
        try:
            return self._read_topics()
        except _ERRORS:
            # SQLite refuses a file that was cut off, unless its schema might be mended.
            self._connection.execute("PRAGMA writable_schema = ON")
            return self._read_topics()

    def _read_topics(self) -> dict[int, Channel]:
        tables = {
            str(name)
            for (name,) in self._connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            )
        }
        if not {"messages", "topics"} <= tables:
            raise InputError(
                f"{self._name} is a database, but no bag of rosbag2: it has no tables `messages` "
                "and `topics`"
            )
        definitions: dict[str, tuple[str, str]] = {}
        if "message_definitions" in tables:
            for name, encoding, text in self._connection.execute(
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            ):
                definitions[str(name)] = (str(text), str(encoding))
        columns = {row[1] for row in self._connection.execute("PRAGMA table_info(topics)")}
        qos, digest = (
            name if name in columns else "''"
            for name in ("offered_qos_profiles", "type_description_hash")
        )
        return {
            int(number): Channel(
                topic=str(topic),
                type_name=modern_type_name(str(type_name)),
                serialization=str(serialization),
                definition=definitions.get(str(type_name), ("", ""))[0],
                definition_format=definitions.get(str(type_name), ("", ""))[1],
                digest=str(digest),
                qos=str(qos),
            )
            for number, topic, type_name, serialization, qos, digest in self._connection.execute(
                f"SELECT id, name, type, serialization_format, {qos}, {digest} FROM topics"
            )
        }

    def _list_messages(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Ids, topics and times of all messages, in order of time, then of ids."""
        query = (
            "SELECT id, topic_id, timestamp FROM messages NOT INDEXED "
            "WHERE typeof(topic_id) = 'integer' AND typeof(timestamp) = 'integer'"
        )
        rows: list[tuple[int, int, int]] = []
        try:
            rows.extend(self._connection.execute(query))
        except _ERRORS as error:
            _blame_the_disk(error)
            rows = self._salvaged(f"{query} AND id >= ? ORDER BY id")
            self._tell(
                Loss(
                    f"{self._name} is damaged or was cut off (SQLite says: {error}); {len(rows)} "
                    "messages were found in it"
                )
            )
        table = np.array(rows, np.int64).reshape(-1, 3)
        table = table[np.isin(table[:, 1], list(self._topics))]
        ids, numbers, times = table[np.lexsort((table[:, 0], table[:, 2]))].T
        return ids, numbers, times

    def _salvaged(self, query: str) -> list[tuple[int, int, int]]:
        """The rows that can be read, past those that cannot."""
        rows: list[tuple[int, int, int]] = []
        begin, step = 0, 1
        while begin < 1 << 62:
            known = len(rows)
            try:
                for row in self._connection.execute(query, (begin,)):
                    rows.append(row)
                break
            except _ERRORS:
                if len(rows) > known:
                    begin, step = rows[-1][0], 1
                begin += 1 if step < _NEAR_IDS else step
                step = step + 1 if step < _NEAR_IDS else 2 * step
        return rows


def _blame_the_disk(error: Exception) -> None:
    """Raise what the disk said, which is no damage of the file; told from Python 3.11 on."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == _IO_ERROR:
        raise OSError(errno.EIO, str(error)) from error
