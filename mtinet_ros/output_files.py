# SPDX-License-Identifier: Apache-2.0
"""Folders and files to write: a file is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError, MtinetError


@contextlib.contextmanager
def file_errors(doing: str, kind: type[MtinetError], advice: str = "") -> Iterator[None]:
    """Turn an `OSError` inside the block into an error of this package.

    Args:
        doing: What is tried with which path, for the message: "cannot <doing>: …".
        kind: Class of the error to raise.
        advice: What to do about it, to end the message with.
    """
    try:
        yield
    except OSError as error:
        end = f"; {advice}" if advice else ""
        raise kind(f"cannot {doing}: {error.strerror or error}{end}") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; before hours of work, not after.

    Raises:
        ConfigurationError: It cannot be made, or not be written to.
    """
    with file_errors(f"make the folder {path}", ConfigurationError, "choose another place"):
        path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the folder {path} cannot be written to; change its permissions or choose another"
        )


@contextlib.contextmanager
def folder_lock(folder: Path, kind: type[MtinetError], message: str) -> Iterator[None]:
    """Keep other runs out of a folder; the system gives it free when the process ends, however.

    Args:
        folder: It must exist; the lock is the file `.lock` in it.
        kind: Class of the error to raise.
        message: What to say if another process holds the lock.
    """
    with contextlib.ExitStack() as stack:
        with file_errors(f"lock the folder {folder}", kind):
            lock = stack.enter_context((folder / ".lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise kind(message) from error
        yield


def write_file(path: Path, content: bytes | str) -> None:
    """`replace_file` for a result that a person asked for.

    Raises:
        InputError: It cannot be written; the message names it.
    """
    with file_errors(f"write {path}", InputError):
        replace_file(path, content)


def check_target(path: Path, is_own: Callable[[Path], bool]) -> None:
    """Refuse a file to write that cannot be, or that would replace somebody else's.

    To be called before the work whose result it is to hold. Makes the folder it is to lie in.

    Args:
        path: The file that a person named.
        is_own: Whether the file that is there was written by mtinet and may be replaced; what it
            raises counts as no.

    Raises:
        ConfigurationError: Its folder cannot be made or written to, it is a folder or a device, or
            it holds something else; the message names it.
    """
    make_folder(path.parent)
    with file_errors(f"write {path}", ConfigurationError):
        if not os.path.lexists(path):
            return
        if not path.is_file():
            raise ConfigurationError(
                f"cannot write {path}: it is there and no regular file; choose another name"
            )
        if path.stat().st_size == 0:
            return
    try:
        if is_own(path):
            return
    except (OSError, ValueError, MtinetError):
        pass
    raise ConfigurationError(
        f"{path} is there and was not written by mtinet; remove it or choose another name"
    )


class ResultFolder:
    """A folder that a command fills, beside files of other people which it never touches.

    A hidden file, `RECORD`, keeps the names and SHA-256 of all that was written, so that a later
    run knows its own files from others. A result that somebody changed since is theirs.

    Attributes:
        path: The folder.
    """

    RECORD = ".mtinet_results"

    def __init__(self, path: Path) -> None:
        """Make the folder, or go on with it.

        Raises:
            ConfigurationError: It cannot be made or written to.
        """
        make_folder(path)
        self.path = path
        self._digests = _read_record(path)

    def check(self, names: Iterable[str]) -> None:
        """Refuse names of files that are there and are none of ours; before the work.

        Raises:
            ConfigurationError: Naming the first few.
        """
        foreign = [name for name in names if self._is_foreign(name)]
        if foreign:
            more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            raise ConfigurationError(
                f"{', '.join(foreign[:3])}{more} in {self.path} would be overwritten, though not "
                "written by mtinet, or changed since; remove it or choose another folder"
            )

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in place of one of ours.

        Raises:
            ConfigurationError: There is one that is not ours.
            InputError: It cannot be written.
        """
        self.check([name])
        digest = hashlib.sha256(content).hexdigest()
        path = self.path / name
        with file_errors(f"write {path}", InputError):
            if self._digests.get(name) != digest:
                # Before the file: a run that is killed in between leaves none that nobody knows.
                with (self.path / self.RECORD).open("a", encoding="ascii") as record:
                    record.write(json.dumps([digest, name]) + "\n")
            replace_file(path, content)
        self._digests[name] = digest

    def _is_foreign(self, name: str) -> bool:
        path = self.path / name
        return os.path.lexists(path) and not _is_recorded(path, self._digests)


def is_result(path: Path, records: dict[Path, dict[str, str]]) -> bool:
    """Whether a file is a result that a command left in its folder, as it was written.

    Args:
        path: The file.
        records: What was read of folders so far; filled by this.
    """
    if path.parent not in records:
        records[path.parent] = _read_record(path.parent)
    return _is_recorded(path, records[path.parent])


def _is_recorded(path: Path, digests: dict[str, str]) -> bool:
    if path.name not in digests:
        return False
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == digests[path.name]
    except OSError:
        return False


def _read_record(folder: Path) -> dict[str, str]:
    """SHA-256 by name; the last line of a name counts, and one that was cut off does not."""
    digests: dict[str, str] = {}
    with contextlib.suppress(OSError):
        lines = (folder / ResultFolder.RECORD).read_text("ascii", "replace").splitlines()
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                digest, name = json.loads(line)
                digests[str(name)] = str(digest)
    return digests


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the content of a .npy file."""
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array))
    return content.getvalue()


def replace_file(path: Path, content: bytes | memoryview | str, *, flush: bool = False) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one.

    Until then the content lies in `.<name>.<process>.part`, which a kill can leave behind.

    Args:
        path: The file; its folder must exist.
        content: Text is written as UTF-8, line ends as they are.
        flush: Wait until the content is on the disk itself, so that a power cut leaves one of the
            two as well. Costs milliseconds on an SSD and far more on a slow card.

    Raises:
        OSError: It cannot be written; the old file is still there, and nothing beside it.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(_encoded(content) if isinstance(content, str) else content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # it may never have been there
            aside.unlink()
        raise


def _encoded(text: str) -> bytes:
    """UTF-8; what a file name in another encoding brought along, as an escape."""
    return text.encode("utf-8", "backslashreplace")
