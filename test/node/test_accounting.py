# SPDX-License-Identifier: Apache-2.0
"""Every frame is answered or counted, once, whatever happens to the pipeline meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy")
from support.recording_logger import RecordingLogger
from support.tiny_model import tiny_card

from mtinet_ros.errors import BackendError, BackendLostError, InputError
from mtinet_ros.inference import Backend, Run
from mtinet_ros.inference.backend import Runs
from mtinet_ros.node.frame_processor import Frame, FrameProcessor
from mtinet_ros.node.inference_pipeline import InferencePipeline
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.statistics import DropReason, StreamStatistics
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor

pytestmark = pytest.mark.ros

SIZE = (32, 64)
FRAMES = 3000


class Chance:
    """Decides what goes wrong, the same each time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def happens(self, share: float) -> bool:
        with self._lock:
            return self._random.random() < share

    def seconds(self, longest: float) -> float:
        with self._lock:
            return self._random.random() * longest


class EchoBackend(Backend):
    """Labels are the first byte of each image, in two sets of buffers as a GPU's backend has.

    With `leaves_cpu_free` it reads the images, and fails, as late as a device may: when somebody
    waits for the run.
    """

    name, device, card = "echo", "none", tiny_card()
    output_names, precision = ("labels",), "none"
    max_batch = 3
    alive = most_under_way = 0
    misuse: tuple[str, ...] = ()

    def __init__(self, chance: Chance, leaves_cpu_free: bool = False) -> None:
        self.leaves_cpu_free = leaves_cpu_free
        EchoBackend.alive += 1
        if EchoBackend.alive > 1:
            EchoBackend.misuse += ("two backends at once",)
        self._chance = chance
        self._runs = Runs(self.name)
        self._under_way: list[Run] = []
        self._labels = np.zeros((2, self.max_batch, *SIZE), np.uint8)
        self._closed = self._is_lost = False

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        labels = self._labels[self._runs.next_turn()][: len(images)]
        labels[...] = 0
        if not self.leaves_cpu_free:
            self._compute(images, labels)
            return self._runs.begun(lambda: {"labels": labels})
        self._fail_perhaps(0.2)

        def wait() -> dict[str, NDArray[np.uint8]]:
            self._compute(images, labels)
            return {"labels": labels}

        self._under_way = [run for run in self._under_way if run.is_under_way]
        self._under_way.append(self._runs.begun(wait))
        EchoBackend.most_under_way = max(EchoBackend.most_under_way, len(self._under_way))
        return self._under_way[-1]

    def _compute(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        time.sleep(self._chance.seconds(0.002))
        self._fail_perhaps(1.0)
        labels[...] = images[:, :1, :1, 0]

    def _fail_perhaps(self, share: float) -> None:
        if self._closed:
            EchoBackend.misuse += ("used when closed",)
        if self._is_lost or self._chance.happens(0.01 * share):
            self._is_lost = True
            raise BackendLostError("the context is lost")
        if self._chance.happens(0.05 * share):
            raise BackendError("out of memory")
        if self._chance.happens(0.02 * share):
            raise KeyError("a defect")

    def close(self) -> None:
        EchoBackend.alive -= 1
        self._closed = True
        self._runs.close()
        self._labels[...] = 255


class CountingStream:
    """A camera whose pictures carry a number, and that looks whether answers carry it, too."""

    def __init__(self, name: str, chance: Chance, max_age: float) -> None:
        self.name, self.max_age = name, max_age
        self.statistics = StreamStatistics()
        self.answered: list[int] = []
        self.wrong: list[str] = []
        self._chance = chance
        self._number = 0

    def frame(self) -> Frame:
        self._number += 1
        now = time.monotonic()
        self.statistics.frame_received(now)
        return Frame(self, self._number, now)

    def wanted_outputs(self) -> frozenset[str] | None:
        return None if self._chance.happens(0.02) else frozenset({"labels"})

    def decode(self, frame: Frame) -> DecodedImage:
        if self._chance.happens(0.02):
            raise InputError("half of it is missing")
        if self._chance.happens(0.01):
            raise MemoryError("a defect")
        time.sleep(self._chance.seconds(0.001))
        return DecodedImage(np.full((*SIZE, 3), frame.message % 251, np.uint8), None)

    def publish(
        self, frame: Frame, decoded: DecodedImage, prediction: Prediction
    ) -> DropReason | None:
        if self._chance.happens(0.01):
            raise ValueError("a defect")
        if self._chance.happens(0.01):
            return DropReason.STOPPED
        for _ in range(2):  # at once, and when the next ones are on their way
            if not (prediction.labels == frame.message % 251).all():  # type: ignore[union-attr]
                self.wrong.append(f"frame {frame.message} shows {prediction.labels}")
            if not (prediction.image == decoded.image).all():
                self.wrong.append(f"frame {frame.message} has the picture of another")
            time.sleep(self._chance.seconds(0.002))
        self.answered.append(frame.message)
        return None

    def report_too_old(self, frame: Frame) -> None: ...

    def reject(self, error: InputError) -> None: ...

    def report_defect(self, error: Exception) -> None: ...


@pytest.mark.parametrize(
    ("pipelined", "two_runs"),
    [("off", False), ("on", False), ("auto", True)],
    ids=["in turn", "side by side", "two runs under way"],
)
def test_thousands_of_frames_under_stop_start_and_reconfiguration_add_up(
    pipelined: str, two_runs: bool
) -> None:
    chance = Chance(17)
    problems = ProblemLog(RecordingLogger())  # type: ignore[arg-type]
    streams = [CountingStream(f"camera{n}", chance, max_age=0.004 * (n == 3)) for n in range(5)]
    EchoBackend.misuse, EchoBackend.most_under_way = (), 0

    def new(predecessor: InferencePipeline | None) -> InferencePipeline:
        return InferencePipeline(
            lambda progress, cancelled: EchoBackend(chance, two_runs),
            tiny_card(),
            "",
            problems,
            lambda error: None,
            lambda: True,
            predecessor=predecessor,
            pipelined=pipelined,
        )

    pipeline = new(None)
    pipeline.start()
    for number in range(FRAMES):
        for stream in streams[: 1 + number % len(streams)]:  # the first is five times as fast
            pipeline.submit(stream.frame())
        time.sleep(chance.seconds(0.0006))
        if chance.happens(0.01):
            pipeline.stop(chance.seconds(0.01))
            if chance.happens(0.3):
                pipeline = new(pipeline)
            pipeline.start()
        elif not pipeline.is_alive:  # it was lost: the node deactivates, and somebody activates it
            pipeline.stop(5.0)
            pipeline.start()
        if chance.happens(0.01):
            pipeline.batch_window = chance.seconds(0.004)
    assert pipeline.stop(10.0)
    assert EchoBackend.alive == 0
    assert EchoBackend.misuse == ()
    assert EchoBackend.most_under_way == (2 if two_runs else 0)
    seen: set[DropReason] = set()
    for stream in streams:
        summary = stream.statistics.summary()
        assert stream.wrong == []
        assert summary.received == summary.published + sum(summary.dropped.values())
        assert summary.published == len(stream.answered) > 0
        assert stream.answered == sorted(set(stream.answered)), "never an older one after a newer"
        seen |= set(summary.dropped)
    assert sum(stream.statistics.summary().received for stream in streams) == 3 * FRAMES
    assert seen >= {DropReason.REPLACED, DropReason.STOPPED, DropReason.INFERENCE_FAILED}


def test_a_frame_that_waited_too_long_is_counted_as_that_and_the_newer_one_answered() -> None:
    """Also one that was young enough when it was decoded; its neighbours in the batch stay."""
    problems = ProblemLog(RecordingLogger())  # type: ignore[arg-type]
    chance = Chance(0)
    chance.happens = lambda share: False  # type: ignore[method-assign]
    streams = [CountingStream(name, chance, max_age=0.0) for name in ("front", "middle", "rear")]
    streams[1].max_age = 100.0
    told: list[Frame] = []
    streams[1].report_too_old = told.append  # type: ignore[method-assign]

    steps = FrameProcessor(
        Predictor(EchoBackend(chance)),
        problems,
        lambda: True,
        is_stopped=lambda: False,
        on_lost=lambda error: None,
        is_pipelined=False,
    )

    def old(stream: CountingStream, age: float) -> Frame:
        frame = stream.frame()
        return Frame(stream, frame.message, frame.received, age)

    assert steps.prepare([old(streams[1], 100.1)]) is None
    work = steps.prepare([old(stream, 99.0) for stream in streams])
    assert work is not None
    assert len(work) == 3
    streams[1].max_age = 50.0
    assert steps.begin(work)
    assert steps.finish(work)
    steps.publish(work)
    assert [len(stream.answered) for stream in streams] == [1, 0, 1]
    assert [stream.wrong for stream in streams] == [[], [], []]
    assert streams[1].statistics.summary().dropped == {DropReason.TOO_OLD: 2}
    assert len(told) == 2
    EchoBackend.alive = 0


def test_a_backend_lost_under_two_runs_costs_the_frames_of_both_and_is_told_once() -> None:
    problems = ProblemLog(RecordingLogger())  # type: ignore[arg-type]
    chance = Chance(0)
    chance.happens = lambda share: False  # type: ignore[method-assign]
    backend = EchoBackend(chance, leaves_cpu_free=True)
    stream = CountingStream("front", chance, max_age=0.0)
    lost: list[BackendLostError] = []
    steps = FrameProcessor(
        Predictor(backend),
        problems,
        lambda: True,
        is_stopped=lambda: bool(lost),  # as the pipeline is, from then on
        on_lost=lost.append,
        is_pipelined=True,
    )
    assert steps.runs_at_once == 2
    works = [steps.prepare([stream.frame()]) for _ in range(3)]
    assert all(steps.begin(work) for work in works[:2] if work)
    backend._is_lost = True
    assert not any(steps.finish(work) for work in works[:2] if work)
    assert works[2]
    assert not steps.begin(works[2])
    assert len(lost) == 1
    dropped = {DropReason.INFERENCE_FAILED: 2, DropReason.STOPPED: 1}
    assert stream.statistics.summary().dropped == dropped
    EchoBackend.alive = 0
