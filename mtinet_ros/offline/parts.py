# SPDX-License-Identifier: Apache-2.0
"""Writing in parts: what is done stays, whatever happens to the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.offline.journal import Journal, Part, Tally
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.frame import PassedMessage, RecordedFrame, Sink
from mtinet_ros.recordings.problem_list import Loss


@dataclass(frozen=True)
class PartLimits:
    """When a part ends, at the next change of time.

    Attributes:
        seconds: After so much work: as much as a kill can cost.
        frames: Or after so many frames.
    """

    seconds: float = 30.0
    frames: int = 2000


@dataclass(eq=False)
class Entry:
    """One thing of the recording on its way to the writer, in order of time.

    Attributes:
        time: On the recording's axis, in ns.
        camera: Of the frame; empty for another message.
        frame: The frame; None where it was left out, or for another message.
        valid_mask: See `DecodedImage`; its picture is in the batch, and nowhere else.
        encoded: What the sink makes of the prediction; None where it could not be read.
        failure: Why it could not be read; empty where it was.
        message: To be kept as it was recorded; None: nothing.
    """

    time: int
    camera: str = ""
    frame: RecordedFrame | None = None
    valid_mask: NDArray[np.bool_] | None = None
    encoded: Future[Any] | None = None
    failure: str = ""
    message: PassedMessage | None = None


class PartWriter:
    """Gives what comes to a sink, part by part, and keeps the journal.

    All but `encode` belongs to one thread.
    """

    def __init__(
        self,
        sink: Sink,
        journal: Journal,
        limits: PartLimits,
        counts: dict[str, int],
        problems: Sequence[str],
        after_part: Callable[[], None],
        first_number: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the next part.

        Args:
            sink: Where frames are written.
            journal: What was done so far; grows.
            limits: When a part ends.
            counts: Frames of each camera so far.
            problems: What was wrong with the recording; grows.
            after_part: Called when a part is in the journal.
            first_number: Of the first part of all, where several write to one output.
            clock: Seconds.
        """
        self._sink = sink
        self._journal = journal
        self._limits = limits
        self._counts = dict(counts)
        self._problems = problems
        self._told = set(journal.tally().problems)
        self._after_part = after_part
        self._clock = clock
        last = max((part.number for part in journal.parts), default=0)
        self._number = last + 1 if last else first_number
        self._tally = Tally()
        self._is_open = False
        self._begun = 0.0
        self._last_time: int | None = None
        self.frames = 0  # of this run; another thread reads it
        self.time: int | None = None  # as far as it is written; the same

    def encode(self, frame: RecordedFrame, prediction: Prediction) -> Any:
        """See `Sink.encode`; in any thread."""
        return self._sink.encode(frame, prediction)

    def take(self, entry: Entry) -> None:
        """Write an entry, in a new part if the last one is full.

        Raises:
            InputError: It cannot be written.
        """
        if self._is_full() and self._last_time is not None and entry.time > self._last_time:
            self.end_part(entry.time)
        if entry.camera:
            self._counts[entry.camera] = self._counts.get(entry.camera, 0) + 1
        if entry.failure:
            self._tally.add_failure(entry.failure)
        if entry.message is not None:
            self._begin_part()
            self._sink.pass_on(entry.message)
        if entry.frame is not None and entry.encoded is not None:
            self._begin_part()
            self._sink.write(entry.frame, entry.encoded.result())
            self._tally.frames += 1
            self.frames += 1
        self._last_time = self.time = entry.time

    def end_part(self, end: int | None, damage: str = "") -> None:
        """Make what was written since the last part whole.

        Args:
            end: Where the next part begins; None: the run is complete.
            damage: Why it could not be read to its end.

        Raises:
            InputError: It cannot be written.
        """
        # Known by now, and perhaps never found again: who resumes does not read it once more.
        problems = [*self._problems, *getattr(self._sink, "problems", ())]
        self._tally.problems = [text for text in problems if text not in self._told]
        self._tally.has_losses = any(isinstance(text, Loss) for text in problems)
        self._told.update(problems)
        self._tally.damage = damage
        record = self._sink.end_part() if self._is_open else None
        number = self._number if record is not None else 0
        part = Part(number, end, self._tally, dict(self._counts), record)
        self._is_open = False
        self._journal.append(part)
        self._number += record is not None
        self._tally = Tally()
        self._last_time = None
        self._begun = self._clock()
        self._after_part()

    def end_before(self, end: int) -> bool:
        """End the part at a time from which on entries are missing.

        Returns:
            Whether that was possible: if others of the same time are written, the part is
            discarded.

        Raises:
            InputError: It cannot be written.
        """
        if self._last_time is not None and self._last_time >= end:
            self.discard()
            return False
        if self._last_time is not None:
            self.end_part(end)
        return True

    def discard(self) -> None:
        """Forget what was written since the last part."""
        if self._is_open:
            self._is_open = False
            self._sink.discard_part()
        self._last_time = None

    def _begin_part(self) -> None:
        if not self._is_open:
            self._sink.begin_part(self._number)
            self._is_open = True
            if not self._begun:
                self._begun = self._clock()

    def _is_full(self) -> bool:
        seen = self._tally.frames + self._tally.failed
        if not self._is_open:
            return False
        return seen >= self._limits.frames or self._clock() - self._begun >= self._limits.seconds
