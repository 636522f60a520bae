# SPDX-License-Identifier: Apache-2.0
"""The newest frame wins, every camera gets its turn, and one thread owns the backend."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mtinet_ros.errors import BackendError, MtinetError
from mtinet_ros.node.scheduler import InferenceWorker, NewestFrames
from mtinet_ros.node.stages import Preparer, Step

PATIENCE = 5.0  # seconds


def test_the_newest_frame_wins_and_older_ones_are_handed_back_to_be_counted() -> None:
    frames: NewestFrames[int] = NewestFrames()
    replaced = [frames.put("front", number) for number in range(5)]
    assert replaced == [None, 0, 1, 2, 3]
    assert frames.take(8) == {"front": 4}
    assert frames.put("front", 5) is None


def test_no_camera_starves_when_the_batch_is_smaller_than_their_number() -> None:
    frames: NewestFrames[int] = NewestFrames()
    served = dict.fromkeys("abcde", 0)
    for number in range(50):
        for camera in served:  # every camera is faster than the network
            frames.put(camera, number)
        for camera in frames.take(2):
            served[camera] += 1
    assert set(served.values()) == {20}


def test_a_fast_camera_does_not_push_a_slow_one_back() -> None:
    frames: NewestFrames[int] = NewestFrames()
    frames.put("slow", 0)
    frames.put("fast", 0)
    for number in range(10):
        frames.put("fast", number)
    assert list(frames.take(1)) == ["slow"]


def test_close_wakes_whoever_waits_and_later_frames_are_handed_back() -> None:
    frames: NewestFrames[int] = NewestFrames()
    taken: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: taken.append(frames.take(1)))
    thread.start()
    frames.close()
    thread.join(PATIENCE)
    assert taken == [{}]
    assert frames.put("front", 1) == 1
    assert frames.take(1) == {}


def test_frames_that_wait_when_the_slots_close_are_handed_back() -> None:
    frames: NewestFrames[int] = NewestFrames()
    frames.put("front", 1)
    frames.put("rear", 2)
    assert frames.close() == [1, 2]
    assert frames.close() == []


def at(frames: NewestFrames[int], clock: Clock, *arrivals: tuple[str, float]) -> None:
    """Let frames come at these seconds and be taken at once."""
    for camera, seconds in arrivals:
        clock.seconds = seconds
        frames.put(camera, 0)
        frames.take(8)


class Clock:
    """A steady clock that waits by going on; what happens meanwhile is told beforehand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, frames: NewestFrames[int]) -> None:
        self.seconds = 0.0
        self.coming: list[tuple[float, str]] = []
        self._frames = frames
        monkeypatch.setattr("mtinet_ros.node.scheduler.time.monotonic", lambda: self.seconds)
        monkeypatch.setattr(frames, "_changed", self)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify(self) -> None: ...

    def wait(self, timeout: float | None) -> None:
        end = math.inf if timeout is None else self.seconds + timeout
        if self.coming and self.coming[0][0] <= end:
            self.seconds, camera = self.coming.pop(0)
            self._frames.put(camera, 1)
        else:
            assert timeout is not None, "waits for ever"
            self.seconds = end


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> tuple[NewestFrames[int], Clock]:
    """Two cameras at 10 Hz, the second 4 ms after the first, and a window of 10 ms."""
    frames: NewestFrames[int] = NewestFrames(batch_window=0.010)
    clock = Clock(monkeypatch, frames)
    for number in range(4):
        at(frames, clock, ("front", number * 0.1), ("rear", number * 0.1 + 0.004))
    return frames, clock


def test_in_the_window_cameras_that_are_due_are_waited_for_and_no_longer(
    windowed: tuple[NewestFrames[int], Clock],
) -> None:
    frames, clock = windowed
    clock.coming = [(0.4, "front"), (0.405, "rear")]
    assert set(frames.take(8)) == {"front", "rear"}
    assert clock.seconds == pytest.approx(0.405)


def test_a_camera_that_falls_silent_costs_one_window_and_then_nothing(
    windowed: tuple[NewestFrames[int], Clock],
) -> None:
    frames, clock = windowed
    clock.coming = [(0.4, "front"), (0.5, "front"), (0.504, "rear")]
    assert set(frames.take(8)) == {"front"}
    assert clock.seconds == pytest.approx(0.410)
    assert set(frames.take(8)) == {"front"}
    assert clock.seconds == pytest.approx(0.5)
    assert set(frames.take(8)) == {"rear"}, "back again, with a rhythm as before"
    clock.coming = [(0.6, "front"), (0.604, "rear")]
    assert set(frames.take(8)) == {"front", "rear"}


def test_nobody_waits_for_a_camera_that_is_not_due_or_has_no_rhythm_yet(
    windowed: tuple[NewestFrames[int], Clock],
) -> None:
    frames, clock = windowed
    at(frames, clock, ("new", 0.38))
    clock.coming = [(0.35, "front")]  # early: the other one comes 54 ms later
    assert set(frames.take(8)) == {"front"}
    assert clock.seconds == pytest.approx(0.35)


def test_a_full_batch_and_a_frame_that_has_waited_enough_wait_no_more(
    windowed: tuple[NewestFrames[int], Clock],
) -> None:
    frames, clock = windowed
    clock.seconds = 0.4
    frames.put("front", 1)
    assert set(frames.take(1)) == {"front"}
    clock.seconds = 0.5
    frames.put("front", 1)
    clock.seconds = 0.511  # the network was busy
    frames.put("front", 2)
    assert frames.take(8) == {"front": 2}
    assert clock.seconds == pytest.approx(0.511)


class Recorder:
    """A backend, its owner and the steps in one, noting who calls from which thread."""

    max_batch = 2
    gains_by_batching = True
    runs_at_once = 1

    def __init__(self, is_pipelined: bool = False) -> None:
        self.is_pipelined = is_pipelined
        self.calls: list[tuple[str, int]] = []
        self.error: MtinetError | None = None
        self.batches: list[list[Any]] = []
        self.happened = threading.Condition()
        self.raises_at = ""

    def note(self, what: str) -> None:
        with self.happened:
            self.calls.append((what, threading.get_ident()))
            self.happened.notify_all()
        if what == self.raises_at:
            self.raises_at = ""
            raise RuntimeError("a defect")

    def wait_for(self, what: str) -> None:
        with self.happened:
            assert self.happened.wait_for(lambda: what in self.names(), PATIENCE), self.names()

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def threads(self, *names: str) -> set[int]:
        return {thread for name, thread in self.calls if name in names}

    def load(self) -> Any:
        self.note("load")
        return self

    def close(self) -> None:
        self.note("close")

    def on_ready(self, backend: Any) -> Recorder:
        assert backend is self
        self.note("ready")
        return self

    def on_failed(self, error: MtinetError) -> None:
        self.error = error
        self.note("failed")

    def prepare(self, frames: Sequence[Any]) -> list[Any]:
        self.note("prepare")
        return list(frames)

    def begin(self, work: list[Any]) -> bool:
        self.note("begin")
        return True

    def finish(self, work: list[Any]) -> bool:
        self.note("finish")
        return True

    def publish(self, work: list[Any]) -> None:
        self.batches.append(work)
        self.note("publish")


def start(
    recorder: Recorder, load: Callable[[], Any] | None = None
) -> tuple[InferenceWorker[Any, Any], NewestFrames[Any]]:
    frames: NewestFrames[Any] = NewestFrames()
    worker = InferenceWorker(load or recorder.load, frames, recorder)
    worker.start()
    return worker, frames


@pytest.mark.parametrize("is_pipelined", [False, True])
def test_the_backend_lives_and_dies_in_one_thread(is_pipelined: bool) -> None:
    recorder = Recorder(is_pipelined)
    worker, frames = start(recorder)
    recorder.wait_for("ready")
    for camera in "abc":
        frames.put(camera, 1)
    recorder.wait_for("publish")
    assert worker.stop(PATIENCE)
    assert recorder.names()[:2] == ["load", "ready"]
    assert recorder.names()[-1] == "close"
    assert all(len(batch) <= 2 for batch in recorder.batches)
    assert len(recorder.threads("load", "ready", "begin", "finish", "close")) == 1
    threads = recorder.threads(*recorder.names())
    assert len(threads) == (3 if is_pipelined else 1)
    assert threading.get_ident() not in threads


def test_where_a_batch_is_no_faster_cameras_take_turns() -> None:
    recorder = Recorder()
    recorder.gains_by_batching = False
    go_on = threading.Event()
    publish = recorder.publish

    def slow(work: list[Any]) -> None:
        publish(work)
        go_on.wait(PATIENCE)

    recorder.publish = slow  # type: ignore[method-assign]
    worker, frames = start(recorder)
    recorder.wait_for("ready")
    frames.put("a", 0)
    recorder.wait_for("publish")
    for camera in "abc":
        frames.put(camera, camera)
    go_on.set()
    deadline = time.monotonic() + PATIENCE
    while len(recorder.batches) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert worker.stop(PATIENCE)
    assert recorder.batches == [[0], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    "error", [BackendError("no driver here"), RuntimeError("segment 7"), MemoryError()]
)
def test_a_failed_load_is_told_with_its_reason(error: Exception) -> None:
    def load() -> Any:
        raise error

    recorder = Recorder()
    worker, _ = start(recorder, load)
    recorder.wait_for("failed")
    assert isinstance(recorder.error, MtinetError)
    assert (str(error) or type(error).__name__) in str(recorder.error)
    assert worker.stop(PATIENCE)
    assert recorder.names() == ["failed"]


@pytest.mark.parametrize("step", ["prepare", "begin", "finish", "publish"])
@pytest.mark.parametrize(("is_pipelined", "runs_at_once"), [(False, 1), (True, 1), (True, 2)])
def test_a_defect_in_any_step_does_not_end_the_stream(
    caplog: pytest.LogCaptureFixture, is_pipelined: bool, runs_at_once: int, step: str
) -> None:
    recorder = Recorder(is_pipelined)
    recorder.runs_at_once = runs_at_once
    recorder.raises_at = step
    worker, frames = start(recorder)
    recorder.wait_for("ready")
    frames.put("front", 1)
    recorder.wait_for(step)
    for number in range(2, 100):
        frames.put("front", number)
        time.sleep(0.005)
        if recorder.batches and recorder.batches[-1] != [1]:
            break
    assert recorder.batches[-1] != [1]
    assert worker.stop(PATIENCE)
    assert recorder.names()[-1] == "close"
    assert "a defect" in caplog.text


def test_a_backend_that_has_no_memory_for_images_is_told_and_closed() -> None:
    recorder = Recorder()
    recorder.raises_at = "ready"
    worker, _ = start(recorder)
    recorder.wait_for("close")
    assert "a defect" in str(recorder.error)
    assert worker.stop(PATIENCE)


class Meeting(Recorder):
    """Steps that go on only when all three are at work: on one batch each, of three in a row."""

    def __init__(self) -> None:
        super().__init__(is_pipelined=True)
        self.barrier = threading.Barrier(3)
        # The first batches are alone in the first steps.
        self.alone = {"prepare": 2, "finish": 1, "publish": 0}

    def note(self, what: str) -> None:
        super().note(what)
        if what in self.alone and not self.barrier.broken:
            self.alone[what] -= 1
            if self.alone[what] < 0:
                self.barrier.wait(PATIENCE)


def test_side_by_side_each_step_works_on_a_batch_of_its_own_in_their_order() -> None:
    recorder = Meeting()
    worker, frames = start(recorder)
    recorder.wait_for("ready")
    number = 0
    while len(recorder.batches) < 10 and number < 5000:
        frames.put("front", number)
        number += 1
        time.sleep(0.001)
    assert not recorder.barrier.broken
    recorder.barrier.abort()
    worker.stop(PATIENCE)
    published = [frame for (frame,) in recorder.batches]
    assert published == sorted(published)


def test_runs_that_fail_do_not_overtake_a_slow_publisher() -> None:
    """Memory goes round: what is being published must not be overwritten two batches later."""
    recorder = Recorder(is_pipelined=True)
    go_on = threading.Event()

    def finish(work: list[Any]) -> bool:
        recorder.note("finish")
        return work == [0]

    def publish(work: list[Any]) -> None:
        recorder.note("publish")
        go_on.wait(PATIENCE)

    recorder.finish, recorder.publish = finish, publish  # type: ignore[method-assign]
    worker, frames = start(recorder)
    recorder.wait_for("ready")
    frames.put("front", 0)
    recorder.wait_for("publish")
    for number in range(1, 50):
        frames.put("front", number)
        time.sleep(0.002)
    names = recorder.names()
    go_on.set()
    assert worker.stop(PATIENCE)
    assert names.count("finish") == 2
    assert names.count("prepare") <= 3


class StepOfKnownLength(Step[Any, Any]):
    def longest(self, images: int) -> float:
        return 0.0


@pytest.mark.parametrize("busy_for", [0.0, 1e6])
def test_a_batch_is_prepared_when_it_will_soon_be_missed_and_no_earlier(busy_for: float) -> None:
    """Also while the taker waits for it with something else to do."""
    frames: NewestFrames[int] = NewestFrames()
    prepared = threading.Semaphore(0)

    def prepare(batch: list[int]) -> list[int]:
        prepared.release()
        return batch

    preparer: Preparer[int, list[int]] = Preparer(
        lambda: list(frames.take(8).values()),
        frames.waiting,
        StepOfKnownLength(prepare),
    )
    frames.put("front", 0)
    assert preparer.take() == [0]
    preparer.expect(time.monotonic() + busy_for)
    assert prepared.acquire(timeout=PATIENCE)
    frames.put("front", 1)
    assert prepared.acquire(timeout=0.05 if busy_for else PATIENCE) is not bool(busy_for)
    if busy_for:
        assert preparer.take(until=time.monotonic() + 0.02) is None
        assert not prepared.acquire(timeout=0)
    frames.put("front", 2)
    assert preparer.take() == ([2] if busy_for else [1])
    frames.close()
    preparer.end()


@pytest.mark.parametrize("fails", [False, True])
def test_stopping_while_loading_closes_the_backend_and_tells_nobody(fails: bool) -> None:
    goes_on = threading.Event()
    recorder = Recorder()

    def load() -> Any:
        recorder.note("load")
        goes_on.wait(PATIENCE)
        if fails:
            raise BackendError("too late to matter")
        return recorder

    worker, _ = start(recorder, load)
    recorder.wait_for("load")
    begin = time.monotonic()
    assert worker.stop(0.05) is False  # a build cannot be interrupted
    assert time.monotonic() - begin < 2.0
    goes_on.set()
    assert worker.stop(PATIENCE)
    assert recorder.names() == (["load"] if fails else ["load", "close"])


def test_stopping_what_never_started_is_no_trouble() -> None:
    recorder = Recorder()
    frames: NewestFrames[Any] = NewestFrames()
    assert InferenceWorker(recorder.load, frames, recorder).stop()
