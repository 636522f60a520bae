# SPDX-License-Identifier: Apache-2.0
"""The two threads beside the backend's: one prepares its next batch, one publishes its last.

At most one batch is prepared ahead, and at most one is being published. Preparing begins as late
as it may without letting the network wait: until then a newer frame can still take an older one's
place. `SideBySide` is what they work for.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence, Sized
from typing import Any, Generic, TypeVar

logger = logging.getLogger("mtinet_ros.node")

ItemT = TypeVar("ItemT")
WorkT = TypeVar("WorkT", bound=Sized)
ArgumentT = TypeVar("ArgumentT", bound=Sized)
ResultT = TypeVar("ResultT")

# Last times that a step's duration is told from.
_REMEMBERED = 8


class Step(Generic[ArgumentT, ResultT]):
    """A function called with batch after batch; its defects are logged, its durations kept."""

    def __init__(self, function: Callable[[ArgumentT], ResultT]) -> None:
        """Wrap a function that takes something with a length: its number of images."""
        self._function = function
        # Replaced, never changed: another thread reads it.
        self._seconds: dict[int, tuple[float, ...]] = {}

    def __call__(self, argument: ArgumentT) -> ResultT | None:
        """Call the function; None if it raises, which is a defect. The next batch may work."""
        begun = time.monotonic()
        images = len(argument)
        try:
            return self._function(argument)
        except Exception:
            logger.exception("processing frames failed")
            return None
        finally:
            last = self._seconds.get(images, ())[1 - _REMEMBERED :]
            self._seconds[images] = (*last, time.monotonic() - begun)

    def shortest(self, images: int) -> float:
        """Seconds that the step took at least for so many images lately; 0 if not known."""
        return min(self._seconds.get(images, ()), default=0.0)

    def longest(self, images: int) -> float:
        """Seconds that the step took at most for so many images lately; infinity if not known."""
        return max(self._seconds.get(images, ()), default=math.inf)


class Preparer(Generic[ItemT, WorkT]):
    """Prepares one batch ahead, in a thread of its own that ends when there are no more frames."""

    def __init__(
        self,
        take_frames: Callable[[], Sequence[ItemT]],
        count_waiting: Callable[[], int],
        prepare: Step[Sequence[ItemT], WorkT | None],
    ) -> None:
        """Start the thread.

        Args:
            take_frames: Waits for frames and takes them; empty: there will be no more.
            count_waiting: How many it would take now.
            prepare: Makes a batch of frames, or None where nothing is left to do.
        """
        self._take_frames = take_frames
        self._count_waiting = count_waiting
        self._prepare = prepare
        self._changed = threading.Condition()
        self._work: WorkT | None = None
        self._is_awaited = False
        self._has_ended = False
        self._needed_at = -math.inf
        self._last_size = 1
        self._thread = _start(self._run, "mtinet_prepare")

    def take(self, until: float = math.inf) -> WorkT | None:
        """Wait for the next batch and take it; `expect` then says when the one after is needed.

        Args:
            until: When to give up, on the steady clock. Infinite: the taker has nothing else to
                do, so that frames are prepared as they come.

        Returns:
            The batch; None: there was none in time, or there are no more frames.
        """
        with self._changed:
            self._is_awaited = until == math.inf
            if self._is_awaited:
                self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._work is not None or self._has_ended,
                None if self._is_awaited else max(0.0, until - time.monotonic()),
            )
            work, self._work = self._work, None
            self._is_awaited = False
            if work is not None:
                self._needed_at = math.inf
                self._changed.notify_all()
        return work

    def expect(self, needed_at: float) -> None:
        """Have the next batch ready at a time of the steady clock, and begin it no earlier."""
        with self._changed:
            is_sooner = needed_at < self._needed_at
            self._needed_at = needed_at
            if is_sooner:  # else it looks again when it wakes
                self._changed.notify_all()

    def end(self) -> None:
        """Wait until the thread has ended; `take_frames` must give no more by then."""
        with self._changed:
            self._work, self._is_awaited = None, True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._wait_until_due()
                frames = self._take_frames()
                if not frames:
                    return
                self._last_size = len(frames)
                work = self._prepare(frames)
                with self._changed:
                    self._work = work
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _wait_until_due(self) -> None:
        """Wait until the last batch was taken and the next will soon be missed."""
        with self._changed:
            self._changed.wait_for(lambda: self._work is None)
            while not self._is_awaited:
                if self._needed_at == math.inf:
                    self._changed.wait()
                    continue
                expected = max(self._last_size, self._count_waiting())
                begin_at = self._needed_at - self._prepare.longest(expected)
                delay = begin_at - time.monotonic()
                if delay <= 0.0:
                    return
                self._changed.wait(delay)


class Publisher(Generic[WorkT]):
    """Publishes one batch at a time in a thread of its own."""

    def __init__(self, publish: Step[WorkT, None]) -> None:
        """Start the thread; `publish` publishes a batch."""
        self._publish = publish
        self._changed = threading.Condition()
        self._work: WorkT | None = None
        self._begun = 0.0
        self._is_ending = False
        self._thread = _start(self._run, "mtinet_publish")

    def wait(self) -> None:
        """Wait until the last batch is published."""
        with self._changed:
            self._changed.wait_for(lambda: self._work is None)

    def give(self, work: WorkT) -> None:
        """Have a batch published; the last one must be (see `wait`)."""
        with self._changed:
            self._work, self._begun = work, time.monotonic()
            self._changed.notify_all()

    def shortest(self, images: int) -> float:
        """Seconds that publishing so many took at least lately; 0 if not known."""
        return self._publish.shortest(images)

    def seconds_left(self) -> float:
        """Seconds that the batch in work will at least take from now on; 0 without one."""
        with self._changed:
            if self._work is None:
                return 0.0
            end = self._begun + self._publish.shortest(len(self._work))
            return max(0.0, end - time.monotonic())

    def end(self) -> None:
        """Wait until the last batch is published and the thread has ended."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._work is not None or self._is_ending)
                work = self._work
            if work is None:
                return
            self._publish(work)
            with self._changed:
                self._work = None
                self._changed.notify_all()


def _start(run: Callable[[], Any], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
