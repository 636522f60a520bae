# SPDX-License-Identifier: Apache-2.0
"""Folders and files to write: a file is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from collections.abc import Iterator
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
            file.write(content.encode() if isinstance(content, str) else content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # it may never have been there
            aside.unlink()
        raise
