# SPDX-License-Identifier: Apache-2.0
"""What a run has done so far, on disk: one line of JSON for its beginning and for each part.

A line is appended and flushed to the disk once the part it tells of is whole there. A line that
was cut off by a kill does not count: its part is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.output_files import file_errors, replace_file
from mtinet_ros.recordings.disk import flush_folder

_VERSION = 1
# Frames that cannot be read, of a part, that are kept by name.
_NAMED = 10


@dataclass
class Tally:
    """What became of frames.

    Attributes:
        frames: Predicted and written.
        failed: Could not be read.
        examples: Why the first of those could not, a sentence each.
        problems: What was wrong with the recording and stopped nothing, a sentence each.
        damage: Why the recording could not be read to its end; empty where it could.
        has_losses: Whether a problem is that something of the recording is missing.
    """

    frames: int = 0
    failed: int = 0
    examples: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    damage: str = ""
    has_losses: bool = False

    def add_failure(self, sentence: str) -> None:
        """Count a frame that could not be read."""
        self.failed += 1
        if len(self.examples) < _NAMED:
            self.examples.append(sentence)

    def add(self, other: Tally) -> None:
        """Take another one in."""
        self.frames += other.frames
        self.failed += other.failed
        self.examples = [*self.examples, *other.examples][:_NAMED]
        self.damage = self.damage or other.damage
        self.has_losses |= other.has_losses
        self.problems += [text for text in other.problems if text not in self.problems]


@dataclass(frozen=True)
class Part:
    """A part that is whole on disk, or the end of a run that had nothing more to write.

    Attributes:
        number: As the sink was told it; 0: nothing was written.
        end: Where the next one begins, in ns on the recording's axis; None: there is no next.
        tally: Its frames.
        counts: Frames of each camera, from the beginning of the shard to the end of the part,
            left out ones included.
        record: What the sink needs to put it together with the others; None: nothing.
    """

    number: int
    end: int | None
    tally: Tally
    counts: dict[str, int]
    record: dict[str, Any] | None


@dataclass(frozen=True)
class Beginning:
    """First line of a journal.

    Attributes:
        fingerprint: Everything that decides the result, by what to call it.
        output: What `mtinet process --merge` needs to put parts together.
    """

    fingerprint: dict[str, Any]
    output: dict[str, Any]


class Journal:
    """The journal of one shard of one output.

    Attributes:
        beginning: How it began.
        parts: What is done, in order of time.
    """

    NAME = "journal.jsonl"

    def __init__(self, path: Path, beginning: Beginning, parts: list[Part]) -> None:
        """Use `begin` or `read` instead."""
        self._path = path
        self.beginning = beginning
        self.parts = parts

    @classmethod
    def begin(cls, folder: Path, beginning: Beginning) -> Journal:
        """Write a new one into a folder that is there.

        Raises:
            InputError: It cannot be written.
        """
        path = folder / cls.NAME
        line = _line({"mtinet_process": _VERSION, **asdict(beginning)})
        with file_errors(f"write {path}", InputError):
            replace_file(path, line, flush=True)
            flush_folder(folder)
        return cls(path, beginning, [])

    @classmethod
    def read(cls, folder: Path) -> Journal | None:
        """Read what an earlier run left; None if there is none, or not even its first line.

        Raises:
            ConfigurationError: It is of another version.
            InputError: It cannot be read.
        """
        path = folder / cls.NAME
        with file_errors(f"read {path}", InputError):
            try:
                text = path.read_bytes().decode("utf-8", "replace")
            except FileNotFoundError:
                return None
        first, *others = text.split("\n")
        beginning = None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(first)
            if entry["mtinet_process"] != _VERSION:
                raise ConfigurationError(
                    f"{path} was written by another version of mtinet; choose another output"
                )
            beginning = Beginning(entry["fingerprint"], entry["output"])
        if beginning is None:
            return None
        parts = []
        for line in others:
            try:
                entry = json.loads(line)
                tally = Tally(**entry.pop("tally"))
                parts.append(Part(tally=tally, **entry))
            except (ValueError, KeyError, TypeError):
                break  # cut off; what may stand behind it was never said to be done
        return cls(path, beginning, parts)

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to do."""
        return bool(self.parts) and self.parts[-1].end is None

    @property
    def records(self) -> list[dict[str, Any]]:
        """What the sink said of its parts."""
        return [part.record for part in self.parts if part.record is not None]

    def tally(self) -> Tally:
        """Frames of all parts."""
        total = Tally()
        for part in self.parts:
            total.add(part.tally)
        return total

    def repair(self) -> None:
        """Rewrite it without what was cut off at its end, so that lines can be appended.

        Raises:
            InputError: It cannot be written.
        """
        lines = [_line({"mtinet_process": _VERSION, **asdict(self.beginning)})]
        lines += [_line(asdict(part)) for part in self.parts]
        with file_errors(f"write {self._path}", InputError):
            replace_file(self._path, "".join(lines), flush=True)
            flush_folder(self._path.parent)

    def append(self, part: Part) -> None:
        """Say that a part is whole; on return that is on the disk.

        Raises:
            InputError: It cannot be written; the part does not count.
        """
        with (
            file_errors(f"write {self._path}", InputError),
            self._path.open("a", encoding="utf-8") as file,
        ):
            length = file.tell()
            try:
                file.write(_line(asdict(part)))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self._path, length)
                raise
        self.parts.append(part)


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, as `model was a, is b`."""
    names = [name for name in {**there, **now} if there.get(name) != now.get(name)]
    return [f"{name} was {_shown(there.get(name))}, is {_shown(now.get(name))}" for name in names]


def _shown(value: Any) -> str:
    if value is None or value in ("", []):
        return "not given"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry) + "\n"
