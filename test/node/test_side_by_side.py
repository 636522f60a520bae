# SPDX-License-Identifier: Apache-2.0
"""Two runs under way: the device has no gap, no frame is older for it, no memory is used twice.

On a clock of its own: device, cameras and publisher take the times that a test says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from mtinet_ros.node.side_by_side import SideBySide
from mtinet_ros.node.stages import Step

MILLISECOND = 1e-3
PREPARING = 4 * MILLISECOND
QUEUEING = 0.1 * MILLISECOND


@dataclass(eq=False)
class Batch:
    number: int
    ready: float
    begun: float = math.nan
    starts: float = math.nan  # on the device
    ends: float = math.nan
    given: float = math.nan
    published: float = math.nan
    fails_at: str = ""

    def __len__(self) -> int:
        return 1


@dataclass
class World:
    """A device, a camera and a publisher; itself the preparer and the publisher of a worker.

    Attributes:
        period: Of the camera; 0: a frame waits whenever one is asked for.
        lengths: How long each run takes; the last one is for all further ones.
        publishing: How long that takes.
    """

    lengths: list[float]
    period: float = 0.0
    publishing: float = 1 * MILLISECOND
    count: int = 30
    fails_at: Callable[[int], str] = lambda number: ""
    now: float = 0.0
    batches: list[Batch] = field(default_factory=list)
    _device_is_free: float = 0.0
    _publisher_is_free: float = 0.0
    _needed_at: float = -math.inf
    _taken: float = 0.0

    # The preparer.

    def take(self, until: float = math.inf) -> Batch | None:
        number = len(self.batches)
        if number == self.count:
            return None
        came = number * self.period
        # It prepares in a thread of its own: when due, or when the taker has nothing else to do.
        due = self._needed_at - PREPARING
        if until == math.inf:
            due = min(due, self.now)
        ready = max(due, came, self._taken) + PREPARING
        if ready > max(until, self.now):
            self.now = max(until, self.now)
            return None
        self.now = max(self.now, ready)
        self._needed_at, self._taken = math.inf, self.now
        self.batches.append(Batch(number, ready, fails_at=self.fails_at(number)))
        return self.batches[-1]

    def expect(self, needed_at: float) -> None:
        self._needed_at = needed_at

    # The device.

    def begin(self, batch: Batch) -> bool:
        before = self.batches[: batch.number - 1]
        assert all(b.published <= self.now for b in before if b.given == b.given), "still read"
        self.now += QUEUEING
        batch.begun = self.now
        if batch.fails_at == "begin":
            return False
        batch.starts = max(self.now, self._device_is_free)
        length = self.lengths[min(batch.number, len(self.lengths) - 1)]
        self._device_is_free = batch.ends = batch.starts + length
        return True

    def finish(self, batch: Batch) -> bool:
        self.now = max(self.now, batch.ends)
        return batch.fails_at != "finish"

    # The publisher.

    def wait(self) -> None:
        self.now = max(self.now, self._publisher_is_free)

    def give(self, batch: Batch) -> None:
        assert self._publisher_is_free <= self.now
        batch.given = self.now
        self._publisher_is_free = batch.published = self.now + self.publishing

    def shortest(self, images: int) -> float:
        return self.publishing

    def seconds_left(self) -> float:
        return max(0.0, self._publisher_is_free - self.now)

    def run(self, monkeypatch: pytest.MonkeyPatch, runs_at_once: int = 2) -> list[Batch]:
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        me: Any = self
        SideBySide(Step(self.begin), Step(self.finish), me, me, runs_at_once).work()
        monkeypatch.undo()
        assert len(self.batches) == self.count
        return self.batches


def gaps(batches: list[Batch]) -> list[float]:
    """Seconds that the device had nothing to do before each batch."""
    return [b.starts - a.ends for a, b in itertools.pairwise(batches)]


def test_a_device_that_works_by_itself_has_no_gap_and_frames_are_no_older(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one run at a time, the next one is queued when the last is over."""
    length = 15 * MILLISECOND
    two, one = (World([length]).run(monkeypatch, runs)[5:] for runs in (2, 1))
    assert max(gaps(two)) == 0.0
    assert gaps(one) == pytest.approx([QUEUEING] * len(gaps(one)))
    for before, batch in itertools.pairwise(two):
        assert 0.0 <= before.ends - batch.begun < 0.5 * MILLISECOND
    age = [batch.given - batch.ready for batch in (*two, *one)]
    assert max(age[: len(two)]) < min(age[len(two) :]) + 0.5 * MILLISECOND


@pytest.mark.parametrize("period", [20 * MILLISECOND, 100 * MILLISECOND])
def test_what_is_over_waits_for_no_frame_that_is_still_to_come(
    monkeypatch: pytest.MonkeyPatch, period: float
) -> None:
    batches = World([15 * MILLISECOND], period=period).run(monkeypatch)
    assert [batch.given for batch in batches] == pytest.approx([b.ends for b in batches])
    assert batches[-1].ends == pytest.approx(
        29 * period + PREPARING + QUEUEING + 15 * MILLISECOND, abs=MILLISECOND
    )


@pytest.mark.parametrize("period", [0.0, 16 * MILLISECOND])
def test_a_network_that_becomes_faster_or_slower_is_late_for_a_few_frames_only(
    monkeypatch: pytest.MonkeyPatch, period: float
) -> None:
    """Its length is known by what was waited for; a wrong one must not confirm itself."""
    lengths = [*[40 * MILLISECOND] * 12, *[5 * MILLISECOND] * 12, 30 * MILLISECOND]
    batches = World(lengths, period=period, count=50).run(monkeypatch)
    late = [batch.given - batch.ends > 0.3 * MILLISECOND for batch in batches]
    assert sum(late) <= 8
    assert not any(late[-10:])
    if not period:
        assert max(gaps(batches[-10:])) < 0.3 * MILLISECOND


@pytest.mark.parametrize("runs_at_once", [1, 2])
@pytest.mark.parametrize("publishing", [0.0, 10 * MILLISECOND, 40 * MILLISECOND])
def test_no_memory_is_used_again_before_it_is_published(
    monkeypatch: pytest.MonkeyPatch, runs_at_once: int, publishing: float
) -> None:
    """`World.begin` looks; here also among runs that fail, and the rate is the slowest's."""
    world = World(
        [15 * MILLISECOND],
        publishing=publishing,
        fails_at=lambda number: {3: "begin", 4: "finish", 9: "begin", 10: "begin"}.get(number, ""),
    )
    batches = world.run(monkeypatch, runs_at_once)
    answered = [batch for batch in batches if not batch.fails_at]
    assert [b.number for b in answered] == [n for n in range(30) if n not in (3, 4, 9, 10)]
    assert all(batch.given == batch.given for batch in answered)
    slowest = max(15 * MILLISECOND, publishing)
    steady = [b.given - a.given for a, b in itertools.pairwise(answered[-10:])]
    assert steady == pytest.approx([slowest] * 9, abs=0.5 * MILLISECOND)
