# SPDX-License-Identifier: Apache-2.0
"""The backend's thread beside two others: it begins runs of the network and takes their outputs.

Where the device works by itself, the next run is begun shortly before the present one is over, so
that the device goes on without a gap. Not earlier: a run that is begun cannot be taken back, and
until then a newer frame can take an older one's place.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic

from mtinet_ros.node.stages import Preparer, Publisher, Step, WorkT

# Most seconds before the expected end of a run at which the next one is begun. Queueing takes a
# tenth of that as a graph; call by call it takes longer, and the device begins meanwhile.
_LONGEST_LEAD = 1e-3
# Seconds for a prepared batch to get from its thread to this one.
_HAND_OVER = 2e-4
# Waiting for less than this is none: the run was over already, nobody knows since when.
_AT_ONCE = 1e-4
# So many runs that were over too early, one after another, are chance: this thread begins the next
# run so shortly before the end that it may come late to the end itself.
_CHANCE = 3
# After those: of the time after which a run was found over, what its length is taken for.
_SHORTENED = 0.5
# Last runs that their length is told from.
_REMEMBERED = 8


@dataclass
class _UnderWay(Generic[WorkT]):
    """A run of the network.

    Attributes:
        work: Its batch.
        begun: When it was queued.
        ends_at: When it will be over, as far as one can tell.
    """

    work: WorkT
    begun: float
    ends_at: float


class RunLengths:
    """How long the network takes for so many images, told by runs that were waited for."""

    def __init__(self) -> None:
        """Know nothing."""
        self._seconds: dict[int, deque[float]] = {}
        self._guesses: dict[int, float] = {}
        self._early_in_a_row = 0

    def usual(self, images: int) -> float:
        """Seconds that a run takes; 0 if not known.

        The median: this thread wakes up late now at the one end of a run, now at the other.
        """
        if images in self._guesses:
            return self._guesses[images]
        known = self._seconds.get(images)
        return statistics.median(known) if known else 0.0

    def add(self, images: int, seconds: float) -> None:
        """A run took so long."""
        self._seconds.setdefault(images, deque(maxlen=_REMEMBERED)).append(seconds)
        self._guesses.pop(images, None)
        self._early_in_a_row = 0

    def was_shorter(self, images: int, seconds: float) -> None:
        """A run was over by then, before it was expected to be.

        That is near the truth while what is expected is. Where it goes on, all that is known is
        wrong: until a run has been waited for, there is a guess.
        """
        self._early_in_a_row += 1
        if self._early_in_a_row > _CHANCE:
            self._seconds.pop(images, None)
            self._guesses[images] = _SHORTENED * seconds
        else:
            self._seconds.setdefault(images, deque(maxlen=_REMEMBERED)).append(seconds)


class SideBySide(Generic[WorkT]):
    """Takes prepared batches, has the network run on them, and gives what came of it away."""

    def __init__(
        self,
        begin: Step[WorkT, bool],
        finish: Step[WorkT, bool],
        preparer: Preparer[Any, WorkT],
        publisher: Publisher[WorkT],
        runs_at_once: int,
    ) -> None:
        """Prepare; `work` works.

        Args:
            begin: Begins a run; whether it did.
            finish: Waits for its end; whether there is something to publish.
            preparer: Where batches come from.
            publisher: Where they go.
            runs_at_once: Most runs under way, 1 or 2. With 1, `begin` may be the run itself.
        """
        self._begin_step = begin
        self._finish_step = finish
        self._preparer = preparer
        self._publisher = publisher
        self._runs_at_once = runs_at_once
        self._under_way: list[_UnderWay[WorkT]] = []  # in their order
        self._lengths = RunLengths()
        self._last_end = -math.inf
        self._last_end_is_exact = True
        self._last_taken: WorkT | None = None
        self._last_given: WorkT | None = None

    def work(self) -> None:
        """Work until there are no more frames and all runs are over."""
        while True:
            work = self._take()
            if work is not None:
                self._begin(work)
            elif not self._under_way:
                return
            if self._under_way and (work is None or len(self._under_way) == self._runs_at_once):
                self._finish()

    def _take(self) -> WorkT | None:
        """The next batch; None: no more, or the run under way will be over first."""
        # What was published before the last batch must be out by now: its memory is used again,
        # for images as soon as the next batch is taken, for outputs as soon as it is begun.
        if self._last_given is not self._last_taken:
            self._publisher.wait()
        work = self._preparer.take(
            self._begin_next_at() if self._under_way else math.inf,
        )
        if work is not None:
            self._last_taken = work
        return work

    def _begin(self, work: WorkT) -> None:
        begun = time.monotonic()
        starts = max(begun, self._under_way[-1].ends_at) if self._under_way else begun
        run = _UnderWay(work, begun, starts + self._lengths.usual(len(work)))
        self._under_way.append(run)
        self._expect_next()
        if not self._begin_step(work):
            self._under_way.pop()

    def _finish(self) -> None:
        run = self._under_way.pop(0)
        asked = time.monotonic()
        is_worth_publishing = self._finish_step(run.work)
        ended = time.monotonic()
        if is_worth_publishing:
            self._learn(run, asked, ended)
        else:  # of a run that failed, nobody knows when it was over
            self._last_end, self._last_end_is_exact = ended, False
        if self._under_way:
            following = self._under_way[0]
            following.ends_at = ended + self._lengths.usual(len(following.work))
            self._expect_next()
        if is_worth_publishing:
            self._publisher.wait()
            self._publisher.give(run.work)
            self._last_given = run.work

    def _learn(self, run: _UnderWay[WorkT], asked: float, ended: float) -> None:
        """Note how long a run took, if that can be told."""
        images, started = len(run.work), max(run.begun, self._last_end)
        is_exact = self._runs_at_once == 1 or ended - asked > _AT_ONCE
        if not is_exact and asked < run.ends_at:
            self._lengths.was_shorter(images, asked - started)
        elif is_exact and (self._last_end_is_exact or run.begun > self._last_end):
            self._lengths.add(images, ended - started)
        self._last_end, self._last_end_is_exact = ended, is_exact

    def _begin_next_at(self) -> float:
        """When the next run is to be begun: just before the last one under way is over."""
        last = self._under_way[-1]
        if self._runs_at_once == 1:
            return last.ends_at
        lead = self._begin_step.shortest(len(last.work)) + _HAND_OVER
        return last.ends_at - min(lead, _LONGEST_LEAD)

    def _expect_next(self) -> None:
        """Tell when the next batch can be begun: not while the one before is to be published."""
        needed_at = self._begin_next_at()
        if len(self._under_way) > 1:
            first = self._under_way[0]
            needed_at = max(needed_at, first.ends_at + self._publisher.shortest(len(first.work)))
        self._preparer.expect(max(needed_at, time.monotonic() + self._publisher.seconds_left()))
