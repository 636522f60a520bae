# SPDX-License-Identifier: Apache-2.0
"""What decides a result, told briefly: whether a run may go on with what another has begun."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.output_files import file_errors
from mtinet_ros.recordings.folder_record import is_result_folder

# Of each end of a file. Recordings are written once: with its size, its ends tell it from others.
_END_BYTES = 65536


def about_files(paths: Sequence[Path]) -> str:
    """Names, sizes and the ends of all files, of folders with all that is in them.

    Where they lie and when they were copied there does not matter, so that a run can go on, and
    its shards be made, on other machines.

    Returns:
        E.g. `3 files, 120.5 MB, 0f3a…`.

    Raises:
        InputError: One cannot be read.
    """
    digest = hashlib.sha256()
    count = total = 0
    for name, path in _files(paths):
        with file_errors(f"read {path}", InputError), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
            digest.update(file.read(_END_BYTES))
            if size > _END_BYTES:
                file.seek(max(_END_BYTES, size - _END_BYTES))
                digest.update(file.read(_END_BYTES))
        count += 1
        total += size
    files = "1 file" if count == 1 else f"{count} files"
    return f"{files}, {total / 1e6:.3f} MB, {digest.hexdigest()[:16]}"


def about_model(path: Path) -> str:
    """SHA-256 of a model's file.

    Raises:
        InputError: It cannot be read.
    """
    digest = hashlib.sha256()
    with file_errors(f"read {path}", InputError), path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _files(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Files by name, hidden ones and results left out."""
    for path in paths:
        if not path.is_dir():
            yield path.name, path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and not is_result_folder(Path(folder, name))
            )
            for name in sorted(names):
                file = Path(folder, name)
                if not name.startswith(".") and file.is_file():
                    yield str(file.relative_to(path)), file
