# SPDX-License-Identifier: Apache-2.0
"""The newest frame wins, every camera gets its turn, and one thread owns the backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mtinet_ros.errors import BackendError, MtinetError
from mtinet_ros.node.scheduler import InferenceWorker, NewestFrames

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


class Recorder:
    """A backend and its owner in one, noting who calls from which thread."""

    max_batch = 2

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.error: MtinetError | None = None
        self.frames: list[dict[str, Any]] = []
        self.happened = threading.Condition()
        self.raises = 0

    def note(self, what: str) -> None:
        with self.happened:
            self.calls.append((what, threading.get_ident()))
            self.happened.notify_all()

    def wait_for(self, what: str) -> None:
        with self.happened:
            assert self.happened.wait_for(lambda: what in self.names(), PATIENCE), self.names()

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def load(self) -> Any:
        self.note("load")
        return self

    def close(self) -> None:
        self.note("close")

    def on_ready(self, backend: Any) -> None:
        assert backend is self
        self.note("ready")

    def on_failed(self, error: MtinetError) -> None:
        self.error = error
        self.note("failed")

    def on_frames(self, backend: Any, frames: dict[str, Any]) -> None:
        self.frames.append(frames)
        if self.raises:
            self.raises -= 1
            self.note("raised")
            raise RuntimeError("a defect")
        self.note("frames")


def start(
    recorder: Recorder, load: Callable[[], Any] | None = None
) -> tuple[InferenceWorker[Any], NewestFrames[Any]]:
    frames: NewestFrames[Any] = NewestFrames()
    worker = InferenceWorker(load or recorder.load, frames, recorder)
    worker.start()
    return worker, frames


def test_the_backend_lives_and_dies_in_one_thread() -> None:
    recorder = Recorder()
    worker, frames = start(recorder)
    recorder.wait_for("ready")
    for camera in "abc":
        frames.put(camera, 1)
    recorder.wait_for("frames")
    assert worker.stop(PATIENCE)
    assert recorder.names()[:2] == ["load", "ready"]
    assert recorder.names()[-1] == "close"
    assert all(len(batch) <= 2 for batch in recorder.frames)
    threads = {thread for _, thread in recorder.calls}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


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


def test_one_defect_does_not_end_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    recorder.raises = 1
    worker, frames = start(recorder)
    frames.put("front", 1)
    recorder.wait_for("raised")
    frames.put("front", 2)
    recorder.wait_for("frames")
    assert worker.stop(PATIENCE)
    assert recorder.names()[-1] == "close"
    assert "a defect" in caplog.text


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
