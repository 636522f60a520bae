# SPDX-License-Identifier: Apache-2.0
"""The files of a bag opened, whatever their formats, and unpacked where they are compressed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.file_kinds import mistaken_kind
from mtinet_ros.recordings.bag_metadata import find_bag
from mtinet_ros.recordings.bag_storage import (
    ZSTD_MAGIC,
    Channel,
    Piece,
    Storage,
    StoredMessage,
    merged,
)
from mtinet_ros.recordings.mcap_records import MCAP_MAGIC
from mtinet_ros.recordings.mcap_storage import McapStorage
from mtinet_ros.recordings.packed_storage import PackedStorage, Unpacked
from mtinet_ros.recordings.problem_list import Loss
from mtinet_ros.recordings.ros1_storage import ROS1_MAGIC, Ros1Storage
from mtinet_ros.recordings.sqlite_storage import SQLITE_MAGIC, SqliteStorage

# What a file's first bytes say, and what opens it: from its path and the name to call it by.
_FORMATS: dict[bytes, Callable[[Path, Path, Callable[[str], None]], Storage]] = {
    MCAP_MAGIC: McapStorage,
    SQLITE_MAGIC: SqliteStorage,
    ROS1_MAGIC: Ros1Storage,
}

# Clocks of a recorder and of its storage differ by less, in ns; more is a lie.
_START_TOLERANCE = 1_000_000_000


class BagFiles:
    """All files of a bag as one.

    Attributes:
        counts: Number of messages by channel.
        start: Record time of the first message in ns; 0 without any.
        end: Record time of the last one.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        """Open the files; what cannot be opened beside others that can is told.

        Args:
            path: A bag's folder, or one of its files.
            tell: Takes sentences about what is wrong and stops nothing.

        Raises:
            InputError: Nothing can be read.
        """
        self._tell = tell
        self._storages: list[Storage] = []
        self._unpacked = Unpacked(self._open, tell)
        try:
            content = find_bag(path, tell)
            failures: list[InputError] = []
            for file in content.files:
                try:
                    self._storages.append(self._open(file, file))
                except InputError as error:
                    failures.append(error)
            if not self._storages:
                raise failures[0]
        except BaseException:
            self.close()
            raise
        for failure in failures:
            tell(Loss(f"{failure}; the other files were read"))
        self.counts: dict[Channel, int] = {}
        for storage in self._storages:
            for channel, count in storage.counts.items():
                self.counts[channel] = self.counts.get(channel, 0) + count
        full = [storage for storage in self._storages if any(storage.counts.values())]
        self.start = min((storage.start for storage in full), default=0)
        self.end = max((storage.end for storage in full), default=0)
        self._check_promises(path, content.messages, content.start, bool(failures))

    def close(self) -> None:
        """Let go of the files, and of what was unpacked."""
        for storage in self._storages:
            storage.close()
        self._unpacked.close()
        self._storages = []

    def last_time(self, channels: Collection[Channel]) -> int:
        """A record time after which no message of these channels comes; -1 without any."""
        return max(
            (
                storage.last_time(channel)
                for storage in self._storages
                for channel in channels
                if storage.counts.get(channel)
            ),
            default=-1,
        )

    def messages(
        self, channels: Collection[Channel], start: int | None = None, end: int | None = None
    ) -> Iterator[StoredMessage]:
        """Messages with start <= time < end, in order of time, then of files and within them."""
        first = self.start if start is None else start
        limit = self.end + 1 if end is None else end

        def piece(order: int, storage: Storage) -> Piece:
            def load() -> Iterator[StoredMessage]:
                return storage.messages(channels, first, limit)

            return Piece(storage.start, order, load)

        return merged(
            piece(order, storage)
            for order, storage in enumerate(self._storages)
            if storage.start < limit and storage.end >= first
        )

    def _open(self, path: Path, name: Path) -> Storage:
        """Open a file of a bag, whatever its format; sentences call it by the name."""
        try:
            with path.open("rb") as file:
                head = file.read(16)
            if head.startswith(ZSTD_MAGIC) and path == name:
                return PackedStorage(path, self._unpacked)
            for magic, storage in _FORMATS.items():
                if head.startswith(magic):
                    return storage(path, name, self._tell)
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror or error}") from error
        raise InputError(_what_it_is(path, name, head))

    def _check_promises(
        self, path: Path, messages: int | None, start: int | None, has_failures: bool
    ) -> None:
        """Tell where the metadata lie."""
        count = sum(self.counts.values())
        if messages is not None and messages != count and not has_failures:
            sentence = f"{path} has {count} messages, and its metadata.yaml says {messages}"
            self._tell(Loss(sentence) if count < messages else sentence)
        elif start is not None and count and abs(start - self.start) > _START_TOLERANCE:
            self._tell(
                f"{path} begins at {self.start * 1e-9:.3f} s, and its metadata.yaml says "
                f"{start * 1e-9:.3f} s"
            )


def _what_it_is(path: Path, name: Path, head: bytes) -> str:
    """Why a file can be no bag, as a sentence."""
    if not head:
        what = "is empty (0 bytes)" if path == name else "holds nothing that could be unpacked"
        return f"{name} {what}: its recorder never wrote to it, or it was cut off"
    is_text = head.startswith((b"version https", b"{")) or head.lstrip().startswith(b"<")
    kind = mistaken_kind(path) if is_text else None
    if kind:
        return f"{name} {kind}"
    return f"{name} is no bag: it is neither MCAP nor SQLite nor a bag of ROS 1"
