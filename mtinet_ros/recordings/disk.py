# SPDX-License-Identifier: Apache-2.0
"""Waiting until files are on the disk itself, so that a power cut takes none of them."""

from __future__ import annotations

import ctypes
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
