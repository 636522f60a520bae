# SPDX-License-Identifier: Apache-2.0
"""The engine between its two threads: stopped at the worst moment, followed by another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from support.tiny_model import tiny_card

from mtinet_ros.errors import BackendError, BackendLostError, MtinetError
from mtinet_ros.inference import Backend, load_backend
from mtinet_ros.node.inference_pipeline import Engine
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.perception.prediction import Prediction

pytestmark = pytest.mark.ros


class Log:
    """What a node's logger is asked to write."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str) -> None:
        self.lines.append(text)

    info = warning


class Statistics:
    def __init__(self) -> None:
        self.dropped: list[str] = []

    def frame_dropped(self, reason: str) -> None:
        self.dropped.append(reason)


class StandInCamera:
    """A camera whose frames are images; counts what becomes of them."""

    def __init__(self, needs: set[str], fails_at: str = "") -> None:
        self.statistics = Statistics()
        self.outputs = self
        self.needs = needs
        self.fails_at = fails_at
        self.published: list[Prediction] = []
        self.defects: list[Exception] = []

    def wanted(self) -> frozenset[str]:
        return frozenset(self.needs)

    def decode(self, frame: Any) -> Any:
        if self.fails_at == "decode":
            raise MemoryError("too large")
        return type("Decoded", (), {"image": frame, "camera": None})()

    def publish(self, prediction: Prediction, _item: object) -> None:
        if self.fails_at == "publish":
            raise ValueError("no such encoding")
        self.published.append(prediction)

    def report_defect(self, error: Exception) -> None:
        self.defects.append(error)


class Bench:
    """Makes engines over one set of cameras, and remembers what they told."""

    def __init__(self, **cameras: StandInCamera) -> None:
        self.cameras = cameras
        self.log = Log()
        self.problems = ProblemLog(self.log)  # type: ignore[arg-type]
        self.told: list[MtinetError | None] = []
        self.loaded = threading.Event()

    def engine(self, load: Callable[..., Backend], predecessor: Engine | None = None) -> Engine:
        def tell(error: MtinetError | None) -> None:
            self.told.append(error)
            self.loaded.set()

        self.loaded.clear()
        engine = Engine(
            load,
            tiny_card(),
            "",
            self.cameras,
            self.problems,
            tell,
            lambda: True,
            predecessor,  # type: ignore[arg-type]
        )
        engine.start()
        return engine


IMAGE = np.zeros((32, 64, 3), np.uint8)


def loads(model: Path) -> Callable[..., Backend]:
    return lambda progress, cancelled: load_backend(model, "onnxruntime")


def test_stopped_while_loading_it_stays_stopped(tiny_model: Path) -> None:
    bench = Bench(camera=StandInCamera({"labels"}))
    began, go_on = threading.Event(), threading.Event()

    def load(progress: Callable[[str, float], None], cancelled: threading.Event) -> Backend:
        began.set()
        go_on.wait(10.0)
        progress("late", 0.5)
        return load_backend(tiny_model, "onnxruntime")

    engine = bench.engine(load)
    assert began.wait(10.0)
    assert not engine.stop(0.1)
    go_on.set()
    assert engine.stop(10.0)
    assert engine.report.state == "unloaded"
    assert not engine.is_alive
    assert bench.told == []


def test_the_next_one_loads_when_the_last_has_let_go(tiny_model: Path) -> None:
    bench = Bench(camera=StandInCamera({"labels"}))
    holding, let_go = threading.Event(), threading.Event()
    alive: list[str] = []

    def slow(progress: object, cancelled: object) -> Backend:
        alive.append("first")
        holding.set()
        let_go.wait(10.0)
        alive.remove("first")
        raise BackendError("stopped")

    def second(progress: object, cancelled: object) -> Backend:
        assert alive == []
        return load_backend(tiny_model, "onnxruntime")

    first = bench.engine(slow)
    assert holding.wait(10.0)
    assert not first.stop(0.1)
    engine = bench.engine(second, predecessor=first)
    assert not bench.loaded.wait(0.3), "two engines at once"
    let_go.set()
    assert bench.loaded.wait(10.0)
    assert bench.told == [None]
    assert engine.report.state == "ready"
    assert engine.stop(10.0)


@pytest.mark.parametrize("place", ["decode", "publish"])
def test_a_defect_with_one_camera_costs_the_others_nothing(tiny_model: Path, place: str) -> None:
    bench = Bench(bad=StandInCamera({"labels"}, place), good=StandInCamera({"depth"}))
    engine = bench.engine(loads(tiny_model))
    assert bench.loaded.wait(10.0)
    backend = load_backend(tiny_model, "onnxruntime")
    engine.on_frames(backend, {"bad": IMAGE, "good": IMAGE})  # type: ignore[dict-item]
    assert len(bench.cameras["bad"].defects) == 1
    (prediction,) = bench.cameras["good"].published
    assert prediction.depth is not None
    assert prediction.labels is None, "only the other camera's listeners want them"
    engine.stop(10.0)


def test_a_failed_run_is_a_present_trouble_until_one_succeeds(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(camera=StandInCamera({"labels"}))
    engine = bench.engine(loads(tiny_model))
    assert bench.loaded.wait(10.0)
    predictor = engine._perceiver
    assert predictor is not None

    def failing(error: BackendError) -> Callable[..., Any]:
        def predict(*_: object) -> Any:
            raise error

        return predict

    frames: Any = {"camera": IMAGE}
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "perceive", failing(BackendError("out of memory")))
        engine.on_frames(predictor.backend, frames)
    assert bench.problems.about("engine") == "out of memory"
    assert bench.cameras["camera"].statistics.dropped == ["inference failed"]
    engine.on_frames(predictor.backend, frames)
    assert bench.problems.about("engine") == ""
    monkeypatch.setattr(predictor, "perceive", failing(BackendLostError("the context is lost")))
    engine.on_frames(predictor.backend, frames)
    assert (engine.report.state, engine.report.detail) == ("failed", "the context is lost")
    assert str(bench.told[-1]) == "the context is lost"
    engine.stop(10.0)
