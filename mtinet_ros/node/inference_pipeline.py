# SPDX-License-Identifier: Apache-2.0
"""The pipeline that cameras submit their frames to; the network runs in one thread of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import Backend, Progress
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.diagnostics import PipelineReport
from mtinet_ros.node.frame_processor import Frame, FrameProcessor, Work
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.scheduler import InferenceWorker, NewestFrames
from mtinet_ros.node.statistics import DropReason
from mtinet_ros.perception.predictor import Predictor

Load = Callable[[Progress, threading.Event], Backend]


class InferencePipeline:
    """Keeps each camera's newest frame and has it processed in a thread that owns the backend.

    It knows no camera: a frame brings along what decodes and publishes it. `start`, `stop` and
    `submit` belong to the executor's thread.

    Attributes:
        report: State of the pipeline, for diagnostics.
        batch_window: Seconds that the first waiting frame waits for those of other cameras.
    """

    def __init__(
        self,
        load: Load,
        card: ModelCard,
        fit: str,
        problems: ProblemLog,
        on_loaded: Callable[[MtinetError | None], None],
        middleware_is_up: Callable[[], bool],
        predecessor: InferencePipeline | None = None,
        pipelined: str = "auto",
        batch_window: float = 0.0,
    ) -> None:
        """Prepare; `start` begins loading.

        Args:
            load: Makes the backend; called in the worker's thread with a listener for its
                progress, and an event that is set when nobody waits for it any more.
            card: Card of the model, for the report.
            fit: Way of fitting images, or empty for the card's.
            problems: Log of what goes wrong.
            on_loaded: Told in the worker's thread how loading ended: None, or why it failed; and
                later, why a backend was lost for good.
            middleware_is_up: False once a signal has shut the middleware down.
            predecessor: A stopped pipeline that may still be about its last frame: loading waits
                until it has given its GPU memory back.
            pipelined: Whether frames are prepared and published beside the network: `on`, `off`,
                or `auto`, which is where the backend leaves the CPU free.
            batch_window: See the attribute.
        """
        self.load = load
        self.fit = fit
        self.problems = problems
        self.on_loaded = on_loaded
        self.middleware_is_up = middleware_is_up
        self.pipelined = pipelined
        self._batch_window = batch_window
        self.report = PipelineReport(model=card.name, precision=card.stated_precision)
        self._run: _Run | None = predecessor._run if predecessor else None
        # Held while `report` and the state of a run change together, in either thread.
        self.changing = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether the model is loading or running."""
        return self.report.state in ("loading", "building", "ready")

    @property
    def batch_window(self) -> float:
        """See the class."""
        return self._batch_window

    @batch_window.setter
    def batch_window(self, seconds: float) -> None:
        self._batch_window = seconds
        if self._run is not None:
            self._run.frames.batch_window = seconds

    def start(self) -> None:
        """Begin loading the model, once the last run has let go of its backend, and return."""
        with self.changing:
            self.report = PipelineReport(
                "loading", model=self.report.model, precision=self.report.precision
            )
            self._run = _Run(self, predecessor=self._run)
        self._run.worker.start()

    def stop(self, timeout: float) -> bool:
        """End the worker and close the backend; returns whether that happened in time [s]."""
        if self._run is None:
            return True
        with self.changing:
            self._run.cancel()
            if self.is_alive:
                self.report = replace(self.report, state="unloaded", detail="")
        for frame in self._run.frames.close():
            frame.drop(DropReason.STOPPED)
        return self._run.worker.stop(timeout)

    def submit(self, frame: Frame) -> None:
        """Take a frame in place of its camera's last one; what is not processed is counted."""
        if self._run is None or not self._run.is_ready:
            frame.drop(DropReason.NOT_READY)
            self.problems.report_once("engine", "not ready yet; images are dropped until it is")
            return
        rejected = self._run.frames.put(frame.stream.name, frame)
        if rejected is not None:
            rejected.drop(DropReason.STOPPED if rejected is frame else DropReason.REPLACED)


class _Run:
    """One life of the worker's thread, from loading the backend to closing it (`WorkerEvents`).

    Attributes:
        is_ready: Whether frames are processed.
    """

    def __init__(self, pipeline: InferencePipeline, predecessor: _Run | None) -> None:
        self.frames: NewestFrames[Frame] = NewestFrames(pipeline.batch_window)
        self.worker: InferenceWorker[Frame, Work] = InferenceWorker(self._load, self.frames, self)
        self._pipeline = pipeline
        self._predecessor = predecessor
        self.is_ready = False
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Take no more frames and change nothing of the pipeline from now on."""
        self.is_ready = False
        self._cancelled.set()

    def _load(self) -> Backend:
        # Let go of it before loading: else each run would keep all that were before it.
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is not None:
            with self._pipeline.changing:
                predecessor.cancel()
            predecessor.worker.stop(threading.TIMEOUT_MAX)
            del predecessor
        return self._pipeline.load(self._on_progress, self._cancelled)

    def on_ready(self, backend: Backend) -> FrameProcessor | None:
        """See `WorkerEvents.on_ready`."""
        pipeline = self._pipeline
        processor = FrameProcessor(
            Predictor(backend, pipeline.fit),
            pipeline.problems,
            pipeline.middleware_is_up,
            is_stopped=lambda: not self.is_ready,
            on_lost=self.on_failed,
            is_pipelined=pipeline.pipelined == "on"
            or (pipeline.pipelined == "auto" and backend.leaves_cpu_free),
        )
        with pipeline.changing:
            if self._cancelled.is_set():
                return None
            self.is_ready = True
            self._change_report(
                state="ready",
                detail="",
                backend=backend.name,
                device=backend.device,
                precision=backend.precision,
                pipelined="yes" if processor.is_pipelined else "no",
            )
        pipeline.problems.resolve(
            "engine", f"ready: {backend.name} on {backend.device}, {backend.precision}"
        )
        pipeline.on_loaded(None)
        return processor

    def on_failed(self, error: MtinetError) -> None:
        """See `WorkerEvents.on_failed`; also when the backend is lost later."""
        with self._pipeline.changing:
            if self._cancelled.is_set():  # stopped on purpose: nobody waits for it
                return
            self.is_ready = False
            self._change_report(state="failed", detail=str(error))
        self._pipeline.on_loaded(error)

    def _on_progress(self, phase: str, share: float) -> None:
        with self._pipeline.changing:
            if not self._cancelled.is_set():
                self._change_report(state="building", detail=f"{phase}, {share * 100:.0f} %")

    def _change_report(self, **changes: str) -> None:
        self._pipeline.report = replace(self._pipeline.report, **changes)
