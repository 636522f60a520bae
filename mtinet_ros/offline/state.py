# SPDX-License-Identifier: Apache-2.0
"""Where the journals of an output lie, and whether a run may write there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.offline.journal import Journal
from mtinet_ros.offline.shards import Shard
from mtinet_ros.output_files import folder_lock, make_folder

_NAME = ".mtinet_process"


def state_folder(output: Path, is_file: bool) -> Path:
    """Folder of an output's journals: hidden in it, or beside it where it is a file."""
    return output.parent / f".{output.name}{_NAME}" if is_file else output / _NAME


def shard_folder(state: Path, shard: Shard) -> Path:
    """Folder of one shard's journal."""
    return state / f"{shard.index}-of-{shard.count}"


def shards_of(state: Path) -> list[Shard]:
    """Shards that have a journal."""
    found = []
    with contextlib.suppress(OSError):
        for entry in state.iterdir():
            match = re.fullmatch(r"(\d+)-of-(\d+)", entry.name)
            if match and (entry / Journal.NAME).exists():
                found.append(Shard(int(match[1]), int(match[2])))
    return sorted(found)


def check_output(output: Path, is_file: bool, shard: Shard, resume: bool) -> None:
    """Refuse an output that a run may not write; before the work.

    Raises:
        ConfigurationError: It is there and nothing that this run may go on with, or its folder
            cannot be made or written to.
    """
    make_folder(output.parent)
    state = state_folder(output, is_file)
    begun = shards_of(state)
    others = [other for other in begun if other.count != shard.count]
    if others:
        kind = "as a whole" if others[0].count == 1 else f"in {others[0].count} shards"
        raise ConfigurationError(
            f"{output} was begun {kind}; go on in the same way with --resume, or choose another "
            "output"
        )
    journal = Journal.read(shard_folder(state, shard)) if shard in begun else None
    if journal is not None and journal.parts and not resume:
        what = f"shard {shard} of {output}" if shard.count > 1 else str(output)
        raise ConfigurationError(
            f"{what} was begun by an earlier run; go on with it by --resume, or choose another "
            "output"
        )
    if state.exists() or not os.path.lexists(output):
        return
    if is_file or not output.is_dir() or any(output.iterdir()):
        raise ConfigurationError(
            f"{output} is there and was not written by mtinet process; remove it or choose "
            "another output"
        )


@contextlib.contextmanager
def locked(output: Path, is_file: bool, shard: Shard) -> Iterator[Path]:
    """The folder of one shard's journal, which no other process has at the same time.

    Raises:
        ConfigurationError: It cannot be made, or another process is at it.
    """
    folder = shard_folder(state_folder(output, is_file), shard)
    make_folder(folder)
    what = f"shard {shard} of {output}" if shard.count > 1 else str(output)
    with folder_lock(
        folder, ConfigurationError, f"another process writes {what}; wait until it has ended"
    ):
        yield folder
