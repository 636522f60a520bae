# SPDX-License-Identifier: Apache-2.0
"""Files that are there as a whole or not at all: written aside, then renamed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


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
