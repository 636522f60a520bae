# SPDX-License-Identifier: Apache-2.0
"""Folders and files to write: a file is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; for results that are to come.

    Raises:
        ConfigurationError: It cannot be made or written to. Ask before hours of work, not after.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder {path}: {error.strerror}; choose another place"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the folder {path} cannot be written to; change its permissions or choose another"
        )


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the content of a .npy file."""
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array))
    return content.getvalue()


def replace_file(path: Path, content: bytes | memoryview | str, *, flush: bool = False) -> None:
    """Put `content` at `path` in one step; whoever reads there sees the old file or the new one.

    What is being written is called `.<name>.<process>.part`; a kill can leave it behind.

    Args:
        path: The file; its folder must exist.
        content: Text is written as UTF-8, line ends as they are.
        flush: Wait until the content is on the disk itself, so that a power cut leaves one of the
            two as well. Costs milliseconds on an SSD and far more on a slow card.

    Raises:
        OSError: It cannot be written; what was at `path` is still there, and nothing beside it.
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
