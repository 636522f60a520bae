# SPDX-License-Identifier: Apache-2.0
"""What a power cut or a kill must not take, and must not leave behind."""

from __future__ import annotations

import ctypes
import glob
import os
from pathlib import Path


def flush_file_system(folder: Path) -> None:
    """Wait for all that was written to the file system of a folder: many files at the cost of one.

    Raises:
        OSError: Something could not be written, e.g. because the disk is full.
    """
    library = ctypes.CDLL(None, use_errno=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not hasattr(library, "syncfs"):
            os.sync()
        elif library.syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OSError: They could not be written.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_left_behind(path: Path) -> None:
    """Remove what processes that were killed had written aside, to put it in place of `path`.

    Raises:
        OSError: It cannot be removed.
    """
    for aside in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        aside.unlink(missing_ok=True)
