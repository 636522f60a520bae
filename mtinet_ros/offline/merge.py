# SPDX-License-Identifier: Apache-2.0
"""Shards put together: the result of one run over all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.offline.journal import Journal, Tally, differences
from mtinet_ros.offline.shards import Shard
from mtinet_ros.offline.state import shard_folder, shards_of, state_folder
from mtinet_ros.recordings.frame import Sink

# Shards that a message names.
_NAMED = 8


def merge_shards(
    output: Path, is_file: bool, open_sink: Callable[[dict[str, Any]], Sink]
) -> Tally:
    """Put the shards of an output together; they stay, and it may be done again.

    Args:
        output: File or folder that they were written to.
        is_file: Which of them.
        open_sink: Opens it again, by what `Target.description` said.

    Returns:
        Frames of all shards.

    Raises:
        ConfigurationError: A shard is missing or not complete, or they are of different runs.
        InputError: The whole cannot be written.
    """
    journals = _journals(output, is_file)
    first = journals[0]
    for number, journal in enumerate(journals, 1):
        changes = differences(first.beginning.fingerprint, journal.beginning.fingerprint)
        if changes:
            raise ConfigurationError(
                f"shards of {output} do not belong together: from shard 1 to shard {number}, "
                f"{', '.join(changes)}; make them anew with the same inputs and options"
            )
    tally = Tally()
    for journal in journals:
        tally.add(journal.tally())
    records = [record for journal in journals for record in journal.records]
    if records:
        open_sink(first.beginning.output).finish(records)
    return tally


def sibling_outputs(output: Path) -> list[tuple[Path, bool]]:
    """Outputs to put together, and whether each is a file: itself, or those in the folder.

    Raises:
        ConfigurationError: There is nothing that was written in shards.
    """
    for is_file in (False, True):
        if shards_of(state_folder(output, is_file)):
            return [(output, is_file)]
    found: dict[str, bool] = {}
    for state in sorted(output.glob("*/.mtinet_process")):
        found[state.parent.name] = False
    for state in sorted(output.glob(".*.mtinet_process")):
        found[state.name[1 : -len(".mtinet_process")]] = True
    expected: dict[str, bool] = {}
    for name, is_file in found.items():
        state = state_folder(output / name, is_file)
        for shard in shards_of(state):
            journal = Journal.read(shard_folder(state, shard))
            if journal is not None:
                siblings = journal.beginning.output.get("siblings", [])
                expected |= dict.fromkeys(siblings, is_file)
    if not expected:
        raise ConfigurationError(
            f"{output} holds no shards; write them with --shard i/n and the same output"
        )
    return [(output / name, is_file) for name, is_file in sorted(expected.items())]


def _journals(output: Path, is_file: bool) -> list[Journal]:
    """Of all shards, in order of time."""
    state = state_folder(output, is_file)
    there = shards_of(state)
    counts = sorted({shard.count for shard in there})
    if not there:
        raise ConfigurationError(f"{output} has no shards yet; run each with --shard i/n")
    if len(counts) > 1:
        raise ConfigurationError(
            f"{output} has shards of {' and of '.join(map(str, counts))}; remove those of one kind"
        )
    journals: list[Journal] = []
    missing = []
    for index in range(1, counts[0] + 1):
        shard = Shard(index, counts[0])
        journal = Journal.read(shard_folder(state, shard)) if shard in there else None
        if journal is None:
            missing.append(f"{shard} was not begun")
        elif not journal.is_complete:
            missing.append(f"{shard} is not complete")
        else:
            journals.append(journal)
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise ConfigurationError(
            f"shards of {output} are missing: {', '.join(missing[:_NAMED])}{more}; run them with "
            "--shard and --resume, then merge again"
        )
    return journals
