# SPDX-License-Identifier: Apache-2.0
"""One recording from its source to its sink, or what is left of it: resumed, or one shard."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.offline.journal import Beginning, Journal, Tally, differences
from mtinet_ros.offline.parts import PartLimits, PartWriter
from mtinet_ros.offline.pipeline import Pipeline, Selection
from mtinet_ros.offline.progress import Progress
from mtinet_ros.offline.shards import EveryNth, Shard, count_frames
from mtinet_ros.offline.state import locked
from mtinet_ros.output_files import file_errors
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.recordings.frame import Interval, Sink, Source

# Parts of a shard have numbers of its own: shards write to one output, never to one file.
_NUMBERS_PER_SHARD = 100_000
# Beside the journal, once the whole is put together and its parts may be gone.
_FINISHED = "finished"


@dataclass(frozen=True)
class Target:
    """Where the results of one recording go.

    Attributes:
        name: Of the recording, for people.
        path: File or folder.
        is_file: Whether it is a file.
        description: What is needed to open its sink again, for JSON.
    """

    name: str
    path: Path
    is_file: bool
    description: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSettings:
    """What a run does with each recording.

    Attributes:
        wanted: Outputs of the model contract.
        chosen: Times of the recording.
        every: One of so many frames of each camera.
        keep_other_messages: Whether what is no frame is passed on.
        shard: Share of the recording.
        resume: Whether to go on where an earlier run ended, if one has begun.
        max_batch: Images of a run of the network at most; 0: as many as it gains by.
        limits: When a part ends.
    """

    wanted: Collection[str]
    chosen: Interval = field(default_factory=Interval)
    every: int = 1
    keep_other_messages: bool = False
    shard: Shard = field(default_factory=Shard)
    resume: bool = False
    max_batch: int = 0
    limits: PartLimits = field(default_factory=PartLimits)


@dataclass(frozen=True)
class Outcome:
    """What became of a recording.

    Attributes:
        tally: Frames of all parts, those of earlier runs included.
        is_complete: Whether nothing is left to do.
        problem: Why it ended early, if not because of a signal: a disk that is full, a backend
            that is lost. What was done before is whole.
        was_complete: Whether an earlier run had done it all.
    """

    tally: Tally
    is_complete: bool
    problem: str = ""
    was_complete: bool = False


def process_recording(
    source: Source,
    open_sink: Callable[[], Sink],
    predictor: Predictor,
    target: Target,
    settings: RunSettings,
    fingerprint: dict[str, Any],
    is_stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Process a recording, or go on where an earlier run ended.

    Every frame of the interval is predicted and written once, in order of time, or told in the
    outcome; however often the run was stopped or killed in between.

    Args:
        source: The recording.
        open_sink: Opens where the results go.
        predictor: What runs the network; this is its thread.
        target: Where the results go.
        settings: What to do.
        fingerprint: What decides the result; a run that is resumed must have the same.
        is_stopped: Asked before each time; then the run ends, and its output is valid.

    Raises:
        ConfigurationError: Another process is at it, or what is there is of another run.
        InputError: The recording, or what an earlier run has left, cannot be read.
    """
    with locked(target.path, target.is_file, settings.shard) as folder:
        sink = open_sink()  # first: what cannot be written at all was never begun
        journal = _journal(folder, target, settings, fingerprint)
        is_whole = settings.shard.count == 1

        def finish() -> None:
            if is_whole and journal.records and not _is_finished(folder):
                sink.finish(journal.records)
            if is_whole and journal.is_complete:
                _remove_parts(sink, folder)

        if journal.is_complete:
            finish()  # a kill may have come between
            return Outcome(journal.tally(), is_complete=True, was_complete=True)
        interval = settings.shard.of(settings.chosen, source.interval())
        before = _counts_before(source, journal, settings, interval)
        if journal.parts:
            interval = Interval(journal.parts[-1].end, interval.end)
        writer = PartWriter(
            sink,
            journal,
            settings.limits,
            before,
            source.problems,
            finish if sink.finish_is_cheap else lambda: None,
            first_number=(settings.shard.index - 1) * _NUMBERS_PER_SHARD + 1,
        )
        selection = Selection(
            interval, settings.every, settings.keep_other_messages, settings.wanted
        )
        pipeline = Pipeline(
            predictor,
            source,
            selection,
            EveryNth(settings.every, before),
            writer,
            is_stopped,
            settings.max_batch,
        )
        problem = ""
        try:
            with Progress(
                target.name, _known(interval, source), lambda: (writer.frames, writer.time)
            ):
                ending = pipeline.run()
                problem = ending.problem if ending.resume_at is not None else ""
        except InputError as error:  # the results cannot be written
            problem = str(error)
        problem = _finished(finish, problem)
        return Outcome(journal.tally(), not problem and journal.is_complete, problem)


def _finished(finish: Callable[[], None], problem: str) -> str:
    """Put parts together; the first thing that went wrong."""
    try:
        finish()
    except InputError as error:
        return problem or str(error)
    return problem


def _is_finished(folder: Path) -> bool:
    return (folder / _FINISHED).exists()


def _remove_parts(sink: Sink, folder: Path) -> None:
    """Have a sink whose whole is a copy of its parts remove these; they are needed no more."""
    remove = getattr(sink, "remove_parts", None)
    if remove is not None:
        with file_errors(f"write {folder / _FINISHED}", InputError):
            (folder / _FINISHED).touch()
        remove()


def _journal(
    folder: Path, target: Target, settings: RunSettings, fingerprint: dict[str, Any]
) -> Journal:
    """The journal to go on with, or a new one."""
    journal = Journal.read(folder)
    if journal is None or not journal.parts:
        return Journal.begin(folder, Beginning(fingerprint, target.description))
    if not settings.resume:
        raise ConfigurationError(
            f"{target.path} was begun by an earlier run; go on with it by --resume, or choose "
            "another output"
        )
    changes = differences(journal.beginning.fingerprint, fingerprint)
    if changes:
        raise ConfigurationError(
            f"{target.path} was begun otherwise: {', '.join(changes)}; resume with what it was "
            "begun with, or choose another output"
        )
    journal.repair()
    return journal


def _counts_before(
    source: Source, journal: Journal, settings: RunSettings, interval: Interval
) -> dict[str, int]:
    """Frames of each camera before what is left, as far as it matters which those were."""
    if journal.parts:
        return journal.parts[-1].counts
    if settings.every == 1 or settings.shard.index == 1 or interval.start is None:
        return {}
    return count_frames(source, Interval(settings.chosen.start, interval.start))


def _known(interval: Interval, source: Source) -> Interval:
    """The interval with the recording's own ends where it has none."""
    recorded = source.interval()
    return Interval(
        recorded.start if interval.start is None else interval.start,
        recorded.end if interval.end is None else interval.end,
    )
