# SPDX-License-Identifier: Apache-2.0
"""Newest frame first: one slot per camera, and the threads that take frames through three steps.

Callbacks only `put`; they never wait. A frame that was not taken before the next one came is
handed back to be counted, so a slow network shows the present at a lower rate, never the past at
full.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import Backend
from mtinet_ros.node.side_by_side import SideBySide
from mtinet_ros.node.stages import Preparer, Publisher, Step, WorkT

logger = logging.getLogger("mtinet_ros.node")

FrameT = TypeVar("FrameT")
TakenT = TypeVar("TakenT", contravariant=True)

# Gaps between frames that a camera's period is the median of.
_GAPS = 5


@dataclass
class _Slot(Generic[FrameT]):
    """Place for one frame of one camera.

    Attributes:
        frame: The newest one that nobody has taken yet; None: there is none.
        since: When a frame first lay here, in seconds of the clock.
        arrivals: When the last frames came.
    """

    frame: FrameT | None = None
    since: float = math.inf
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=_GAPS + 1))

    @property
    def is_full(self) -> bool:
        """Whether a frame waits."""
        return self.frame is not None

    def awaited_until(self, end: float, patience: float) -> float:
        """Until when a next frame can be hoped for that comes before `end`; -inf: there is none.

        A camera that is later than its rhythm says by more than `patience` has fallen silent.
        """
        if len(self.arrivals) < 2:
            return -math.inf
        gaps = [later - earlier for earlier, later in itertools.pairwise(self.arrivals)]
        due = self.arrivals[-1] + statistics.median(gaps)
        return min(due + patience, end) if due < end else -math.inf


class NewestFrames(Generic[FrameT]):
    """One slot per camera, each holding the newest frame that nobody has taken yet.

    Attributes:
        batch_window: Seconds that the first waiting frame waits for those of other cameras.
    """

    def __init__(self, batch_window: float = 0.0) -> None:
        """Start with empty slots; a camera's slot appears with its first frame."""
        self.batch_window = batch_window
        # By camera, the least recently served first.
        self._slots: dict[str, _Slot[FrameT]] = {}
        self._changed = threading.Condition()
        self._closed = False

    def put(self, camera: str, frame: FrameT) -> FrameT | None:
        """Leave a frame.

        Returns:
            The frame that nobody will take: the older one that this one replaces, or this one
            itself once the slots are closed.
        """
        with self._changed:
            if self._closed:
                return frame
            now = time.monotonic()
            slot = self._slots.setdefault(camera, _Slot())
            replaced, slot.frame = slot.frame, frame
            slot.arrivals.append(now)
            if replaced is None:
                slot.since = now
                self._changed.notify()
        return replaced

    def waiting(self) -> int:
        """Number of cameras with a frame that waits."""
        with self._changed:
            return sum(slot.is_full for slot in self._slots.values())

    def take(self, max_cameras: int) -> dict[str, FrameT]:
        """Wait for frames and take those waiting, least recently served cameras first.

        With a `batch_window`, cameras whose next frame is due within it are waited for; one that
        stays away costs the others one window, and nothing until it is back.

        Args:
            max_cameras: Largest number of cameras to take (the batch size).

        Returns:
            Frame by camera; empty once the slots are closed.
        """
        with self._changed:
            while not self._closed:
                waiting = [
                    camera for camera, slot in self._slots.items() if slot.frame is not None
                ]
                delay = self._delay(waiting, max_cameras)
                if delay is not None and delay <= 0.0:
                    break
                self._changed.wait(delay)
            else:
                return {}
            taken: dict[str, FrameT] = {}
            for camera in waiting[:max_cameras]:
                slot = self._slots[camera] = self._slots.pop(camera)  # to the end
                assert slot.frame is not None
                taken[camera], slot.frame = slot.frame, None
            return taken

    def _delay(self, waiting: Sequence[str], max_cameras: int) -> float | None:
        """Seconds to wait for further frames, or None until one comes."""
        if not waiting:
            return None
        if self.batch_window <= 0.0 or len(waiting) >= max_cameras:
            return 0.0
        end = min(self._slots[camera].since for camera in waiting) + self.batch_window
        others = (slot for slot in self._slots.values() if not slot.is_full)
        awaited = [slot.awaited_until(end, self.batch_window) for slot in others]
        return max(awaited, default=-math.inf) - time.monotonic()

    def close(self) -> list[FrameT]:
        """Wake the taker with an empty answer, for good; returns the frames not taken."""
        with self._changed:
            self._closed = True
            frames = [slot.frame for slot in self._slots.values() if slot.frame is not None]
            self._slots.clear()
            self._changed.notify_all()
        return frames


class Steps(Protocol[TakenT, WorkT]):
    """What becomes of frames: they are prepared, inferred on in two steps, and published.

    None of the steps raises for a bad frame.

    Attributes:
        is_pipelined: Whether batches are prepared and published in threads of their own, while
            others are in the network. Else all is done in turn.
        runs_at_once: How many batches may be in the network, 1 or 2; 2 only if pipelined.
    """

    is_pipelined: bool
    runs_at_once: int

    def prepare(self, frames: Sequence[TakenT]) -> WorkT | None:
        """Make a batch of frames, at most `backend.max_batch`; None if nothing is left to do."""

    def begin(self, work: WorkT) -> bool:
        """Have the network run, in the backend's thread; whether it does, and is to be finished.

        What was begun before the last one has been published by now.
        """

    def finish(self, work: WorkT) -> bool:
        """Wait for the network, in the same thread; whether there is something to publish.

        Batches are finished in the order in which they were begun.
        """

    def publish(self, work: WorkT) -> None:
        """Publish what came of a batch."""


class WorkerEvents(Protocol[TakenT, WorkT]):
    """Listener of the worker; its methods are called in the worker's thread."""

    def on_ready(self, backend: Backend) -> Steps[TakenT, WorkT] | None:
        """The backend is loaded; returns what to do with frames from now on, None for nothing."""

    def on_failed(self, error: MtinetError) -> None:
        """The backend could not be loaded; the worker has ended."""


class InferenceWorker(Generic[FrameT, WorkT]):
    """The one thread that makes, uses and closes the backend (and so any CUDA context with it).

    Where that pays, two more prepare what goes into the network and publish what comes out.
    """

    def __init__(
        self,
        load: Callable[[], Backend],
        frames: NewestFrames[FrameT],
        events: WorkerEvents[FrameT, WorkT],
    ) -> None:
        """Prepare the thread; `start` runs it.

        Args:
            load: Makes the backend; may take minutes and may raise `MtinetError`.
            frames: Slots that frames are taken from; closed by `stop`.
            events: Listener of the worker.
        """
        self._load = load
        self._frames = frames
        self._events = events
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mtinet_inference", daemon=True)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Ask the thread to finish its frame and end; returns whether it did in time [s]."""
        self._stopping.set()
        self._frames.close()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            backend = self._load()
        except Exception as error:
            self._report_failure(error)
            return
        try:
            steps = None if self._stopping.is_set() else self._events.on_ready(backend)
            # Without a gain by it, cameras take turns: each frame is taken when its run can begin,
            # and is published when that ends.
            most = backend.max_batch if backend.gains_by_batching else 1
            if steps is not None and steps.is_pipelined:
                self._work_side_by_side(steps, most)
            elif steps is not None:
                self._work_in_turn(steps, most)
        except Exception as error:  # of `on_ready`: memory that the backend has not, for instance
            self._report_failure(error)
        finally:
            backend.close()

    def _work_in_turn(self, steps: Steps[FrameT, WorkT], max_batch: int) -> None:
        prepare, publish = Step(steps.prepare), Step(steps.publish)
        begin, finish = Step(steps.begin), Step(steps.finish)
        while frames := self._frames.take(max_batch):
            work = prepare(list(frames.values()))
            if work is not None and begin(work) and finish(work):
                publish(work)

    def _work_side_by_side(self, steps: Steps[FrameT, WorkT], max_batch: int) -> None:
        publisher = Publisher(Step(steps.publish))
        preparer = Preparer(
            lambda: list(self._frames.take(max_batch).values()),
            lambda: min(self._frames.waiting(), max_batch),
            Step(steps.prepare),
        )
        begin, finish = Step(steps.begin), Step(steps.finish)
        try:
            SideBySide(begin, finish, preparer, publisher, steps.runs_at_once).work()
        finally:  # both use memory of the backend, which is closed next
            self._frames.close()
            preparer.end()
            publisher.end()

    def _report_failure(self, error: Exception) -> None:
        if self._stopping.is_set():  # nobody waits for it any more
            return
        if not isinstance(error, MtinetError):  # a fault of a vendor's library
            logger.error("loading the backend failed", exc_info=error)
            error = MtinetError(f"loading the backend failed: {error!r}")
        self._events.on_failed(error)
