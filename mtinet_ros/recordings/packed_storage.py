# SPDX-License-Identifier: Apache-2.0
"""Files of a bag that were compressed as a whole: unpacked elsewhere, few at a time."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_storage import Channel, Storage, StoredMessage, zstd
from mtinet_ros.recordings.problem_list import Loss

# Unpacked files that are kept although nobody reads them.
_KEPT = 2


class Unpacked:
    """The unpacked files of a bag."""

    def __init__(
        self, open_file: Callable[[Path, Path], Storage], tell: Callable[[str], None]
    ) -> None:
        """Begin without any.

        Args:
            open_file: Opens what was unpacked, and calls it by another name.
            tell: Takes sentences about what is damaged.
        """
        self._open_file = open_file
        self._tell = tell
        self._storages: dict[Path, tuple[Storage, tempfile.TemporaryDirectory[str]]] = {}
        self._readers: dict[Path, int] = {}

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Storage]:
        """What is in a compressed file.

        Raises:
            InputError: It cannot be unpacked, or is no bag.
        """
        if path not in self._storages:
            self._let_go(_KEPT - 1)
            self._storages[path] = self._unpack(path)
        self._readers[path] = self._readers.get(path, 0) + 1
        try:
            yield self._storages[path][0]
        finally:
            self._readers[path] -= 1
            self._let_go(_KEPT)

    def close(self) -> None:
        """Let go of all."""
        self._readers.clear()
        self._let_go(0)

    def _let_go(self, keep: int) -> None:
        idle = [path for path in self._storages if not self._readers.get(path)]
        for path in idle[: max(len(self._storages) - keep, 0)]:
            storage, folder = self._storages.pop(path)
            storage.close()
            with contextlib.suppress(OSError):
                folder.cleanup()

    def _unpack(self, path: Path) -> tuple[Storage, tempfile.TemporaryDirectory[str]]:
        module = zstd()
        try:
            folder = tempfile.TemporaryDirectory(prefix="mtinet_bag_")
        except OSError as error:
            raise InputError(
                f"cannot unpack {path}: {error.strerror or error}; choose another place for it "
                "by the variable TMPDIR"
            ) from error
        try:
            target = Path(folder.name, path.stem)
            try:
                with module.open(path, "rb") as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            except (EOFError, module.ZstdError) as error:
                # What came before the damage may be whole messages.
                self._tell(
                    Loss(f"{path} is damaged or was cut off ({error}); what can be was unpacked")
                )
            except OSError as error:
                raise InputError(
                    f"cannot unpack {path} into {folder.name}: {error.strerror or error}; choose "
                    "a place with more room by the variable TMPDIR"
                ) from error
            return self._open_file(target, path), folder
        except BaseException:
            folder.cleanup()
            raise


class PackedStorage:
    """A file that is compressed as a whole (`Storage`)."""

    def __init__(self, path: Path, unpacked: Unpacked) -> None:
        """Unpack it once, for what it holds; later again, if others took its place.

        Raises:
            InputError: It cannot be unpacked, or is no bag.
        """
        self._path = path
        self._unpacked = unpacked
        with unpacked.opened(path) as storage:
            self.counts = dict(storage.counts)
            self.start, self.end = storage.start, storage.end
            self._last_times = {channel: storage.last_time(channel) for channel in self.counts}

    def close(self) -> None:
        """Nothing: `Unpacked` lets go of all."""

    def last_time(self, channel: Channel) -> int:
        """A record time after which no message of the channel comes; below `start` without any."""
        return self._last_times.get(channel, self.start - 1)

    def messages(
        self, channels: Collection[Channel], start: int, end: int
    ) -> Iterator[StoredMessage]:
        """Messages with start <= time < end, in order of time, then as they lie in the file."""
        with self._unpacked.opened(self._path) as storage:
            yield from storage.messages(channels, start, end)
