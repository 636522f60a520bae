# SPDX-License-Identifier: Apache-2.0
"""The pipeline between its two threads: stopped at the worst moment, started again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from support.recording_logger import RecordingLogger
from support.tiny_model import tiny_card

from mtinet_ros.errors import BackendError, BackendLostError, InputError, MtinetError
from mtinet_ros.inference import Backend, load_backend
from mtinet_ros.node.frame_processor import Frame
from mtinet_ros.node.inference_pipeline import InferencePipeline, Load
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.statistics import DropReason, StreamStatistics
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor

pytestmark = pytest.mark.ros


class StandInStream:
    """A camera whose messages are images; keeps what becomes of them."""

    def __init__(self, name: str, wanted: set[str], fails_at: str = "") -> None:
        self.name = name
        self.statistics = StreamStatistics()
        self.wanted = wanted
        self.fails_at = fails_at
        self.max_age = 0.0
        self.published: list[Prediction] = []
        self.defects: list[Exception] = []
        self.too_old: list[Frame] = []

    @property
    def dropped(self) -> dict[DropReason, int]:
        return self.statistics.summary().dropped

    def frame(self) -> Frame:
        return Frame(self, np.zeros((32, 64, 3), np.uint8), time.monotonic())

    def wanted_outputs(self) -> frozenset[str]:
        return frozenset(self.wanted)

    def decode(self, frame: Frame) -> DecodedImage:
        if self.fails_at == "decode":
            raise MemoryError("too large")
        if self.fails_at == "input":
            raise InputError("half of it is missing")
        return DecodedImage(frame.message, None)

    def publish(self, frame: Frame, decoded: DecodedImage, prediction: Prediction) -> None:
        if self.fails_at == "publish":
            raise ValueError("no such encoding")
        self.published.append(prediction)

    def report_too_old(self, frame: Frame) -> None:
        self.too_old.append(frame)

    def reject(self, error: InputError) -> None:
        self.defects.append(error)

    report_defect = reject  # type: ignore[assignment]


class Bench:
    """Makes pipelines, and remembers what they tell."""

    def __init__(self) -> None:
        self.problems = ProblemLog(RecordingLogger())  # type: ignore[arg-type]
        self.told: list[MtinetError | None] = []
        self.loaded = threading.Event()

    def pipeline(self, load: Load) -> InferencePipeline:
        def tell(error: MtinetError | None) -> None:
            self.told.append(error)
            self.loaded.set()

        return InferencePipeline(load, tiny_card(), "", self.problems, tell, lambda: True)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def loads(model: Path) -> Load:
    return lambda progress, cancelled: load_backend(model, "onnxruntime")


def test_stopped_while_loading_it_stays_stopped(tiny_model: Path) -> None:
    bench = Bench()
    began, go_on = threading.Event(), threading.Event()

    def load(progress: Callable[[str, float], None], cancelled: threading.Event) -> Backend:
        began.set()
        go_on.wait(10.0)
        progress("late", 0.5)
        return load_backend(tiny_model, "onnxruntime")

    pipeline = bench.pipeline(load)
    pipeline.start()
    assert began.wait(10.0)
    assert not pipeline.stop(0.1)
    go_on.set()
    assert pipeline.stop(10.0)
    assert pipeline.report.state == "unloaded"
    assert not pipeline.is_alive
    assert bench.told == []


@pytest.mark.parametrize("configured_anew", [False, True])
def test_the_next_run_loads_when_the_last_has_let_go(
    tiny_model: Path, configured_anew: bool
) -> None:
    bench = Bench()
    holding, let_go = threading.Event(), threading.Event()
    alive: list[str] = []

    def load(progress: object, cancelled: object) -> Backend:
        if not holding.is_set():
            alive.append("first")
            holding.set()
            let_go.wait(10.0)
            alive.remove("first")
            raise BackendError("stopped")
        assert alive == []
        return load_backend(tiny_model, "onnxruntime")

    pipeline = bench.pipeline(load)
    pipeline.start()
    assert holding.wait(10.0)
    assert not pipeline.stop(0.1)
    if configured_anew:
        pipeline = InferencePipeline(
            load,
            tiny_card(),
            "",
            bench.problems,
            pipeline.on_loaded,
            lambda: True,
            predecessor=pipeline,
        )
    pipeline.start()
    assert not bench.loaded.wait(0.3), "two backends at once"
    let_go.set()
    assert bench.loaded.wait(10.0)
    assert bench.told == [None]
    assert pipeline.report.state == "ready"
    assert pipeline.stop(10.0)


@pytest.mark.parametrize("place", ["decode", "publish"])
def test_a_defect_with_one_camera_costs_the_others_nothing(tiny_model: Path, place: str) -> None:
    bench = Bench()
    bad, good = StandInStream("bad", {"labels"}, place), StandInStream("good", {"depth"})
    pipeline = bench.pipeline(loads(tiny_model))
    pipeline.start()
    assert bench.loaded.wait(10.0)
    pipeline.submit(bad.frame())
    pipeline.submit(good.frame())
    assert eventually(lambda: bool(good.published and bad.defects))
    assert len(bad.defects) == 1
    assert bad.dropped == {DropReason.DEFECT: 1}
    (prediction,) = good.published
    assert prediction.depth is not None
    assert prediction.labels is None, "only the other camera's listeners want them"
    assert good.dropped == {}
    pipeline.stop(10.0)


def test_frames_that_come_too_early_or_cannot_be_read_are_counted(tiny_model: Path) -> None:
    bench = Bench()
    stream = StandInStream("camera", {"labels"}, "input")
    pipeline = bench.pipeline(loads(tiny_model))
    pipeline.submit(stream.frame())
    assert stream.dropped == {DropReason.NOT_READY: 1}
    pipeline.start()
    assert bench.loaded.wait(10.0)
    pipeline.submit(stream.frame())
    assert eventually(lambda: len(stream.defects) == 1)
    assert stream.dropped == {DropReason.NOT_READY: 1, DropReason.UNUSABLE: 1}
    pipeline.stop(10.0)


def test_every_frame_is_answered_or_counted_when_the_pipeline_stops(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    cameras = [StandInStream(f"camera{number}", {"labels"}) for number in range(3)]
    pipeline = bench.pipeline(loads(tiny_model))
    pipeline.start()
    assert bench.loaded.wait(10.0)
    entered, go_on = threading.Event(), threading.Event()
    begin = Predictor.begin

    def slow(*arguments: Any) -> Any:
        entered.set()
        go_on.wait(10.0)
        return begin(*arguments)

    monkeypatch.setattr(Predictor, "begin", slow)
    submitted = 0
    for stream in cameras:
        pipeline.submit(stream.frame())
        submitted += 1
    assert entered.wait(10.0)
    for stream in cameras * 2:  # wait in their slots, or push each other out
        pipeline.submit(stream.frame())
        submitted += 1
    assert not pipeline.stop(0.05)
    pipeline.submit(cameras[0].frame())
    submitted += 1
    go_on.set()
    assert pipeline.stop(10.0)
    answered = sum(len(stream.published) for stream in cameras)
    dropped = sum(sum(stream.dropped.values()) for stream in cameras)
    assert answered + dropped == submitted
    assert answered >= 1


def test_a_defect_in_the_network_costs_one_frame_each_and_is_told_where_it_is_rare(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    streams = [StandInStream(name, {"labels"}) for name in ("front", "rear")]
    pipeline = bench.pipeline(loads(tiny_model))
    pipeline.start()
    assert bench.loaded.wait(10.0)

    def broken(*_: object) -> Any:
        raise KeyError("labels")

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "postprocess", broken)
        for stream in streams:
            pipeline.submit(stream.frame())
        assert eventually(lambda: all(stream.defects for stream in streams))
    assert [stream.dropped for stream in streams] == [{DropReason.DEFECT: 1}] * 2
    pipeline.submit(streams[0].frame())
    assert eventually(lambda: len(streams[0].published) == 1)
    pipeline.stop(10.0)


def test_a_failed_run_is_a_present_trouble_until_one_succeeds(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    stream = StandInStream("camera", {"labels"})
    pipeline = bench.pipeline(loads(tiny_model))
    pipeline.start()
    assert bench.loaded.wait(10.0)

    def failing(error: BackendError) -> Callable[..., Any]:
        def begin(*_: object) -> Any:
            raise error

        return begin

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "begin", failing(BackendError("out of memory")))
        pipeline.submit(stream.frame())
        assert eventually(lambda: bench.problems.current_of("engine") == "out of memory")
    assert stream.dropped == {DropReason.INFERENCE_FAILED: 1}
    pipeline.submit(stream.frame())
    assert eventually(lambda: bench.problems.current_of("engine") == "")
    monkeypatch.setattr(Predictor, "begin", failing(BackendLostError("the context is lost")))
    pipeline.submit(stream.frame())
    assert eventually(lambda: pipeline.report.state == "failed")
    assert pipeline.report.detail == "the context is lost"
    assert eventually(lambda: len(bench.told) == 2)
    assert str(bench.told[-1]) == "the context is lost"
    assert stream.dropped == {DropReason.INFERENCE_FAILED: 2}
    monkeypatch.undo()
    bench.loaded.clear()
    pipeline.start()  # as an activation does
    assert bench.loaded.wait(10.0)
    assert pipeline.report.state == "ready"
    assert pipeline.stop(10.0)
