# SPDX-License-Identifier: Apache-2.0
"""The pipeline that cameras submit their frames to; the network runs in its one worker thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from mtinet_ros.errors import BackendLostError, MtinetError
from mtinet_ros.inference import Backend, Progress
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.diagnostics import PipelineReport
from mtinet_ros.node.frame_processor import Frame, FrameProcessor
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
        """
        self.load = load
        self.fit = fit
        self.problems = problems
        self.on_loaded = on_loaded
        self.middleware_is_up = middleware_is_up
        self.report = PipelineReport(model=card.name, precision=card.stated_precision)
        self._run: _Run | None = predecessor._run if predecessor else None
        # Held while `report` and the state of a run change together, in either thread.
        self.changing = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether the model is loading or running."""
        return self.report.state in ("loading", "building", "ready")

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
    """One life of the worker's thread, from loading the backend to closing it (`WorkerEvents`)."""

    def __init__(self, pipeline: InferencePipeline, predecessor: _Run | None) -> None:
        self.frames: NewestFrames[Frame] = NewestFrames()
        self.worker = InferenceWorker(self._load, self.frames, self)
        self._pipeline = pipeline
        self._predecessor = predecessor
        self._processor: FrameProcessor | None = None
        self._cancelled = threading.Event()

    @property
    def is_ready(self) -> bool:
        """Whether frames are processed."""
        return self._processor is not None

    def cancel(self) -> None:
        """Take no more frames and change nothing of the pipeline from now on."""
        self._processor = None
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

    def on_ready(self, backend: Backend) -> None:
        """See `WorkerEvents.on_ready`."""
        pipeline = self._pipeline
        predictor = Predictor(backend, pipeline.fit)
        processor = FrameProcessor(predictor, pipeline.problems, pipeline.middleware_is_up)
        with pipeline.changing:
            if self._cancelled.is_set():
                return
            self._processor = processor
            self._change_report(
                state="ready",
                detail="",
                backend=backend.name,
                device=backend.device,
                precision=backend.precision,
            )
        pipeline.problems.resolve(
            "engine", f"ready: {backend.name} on {backend.device}, {backend.precision}"
        )
        pipeline.on_loaded(None)

    def on_failed(self, error: MtinetError) -> None:
        """See `WorkerEvents.on_failed`; also when the backend is lost later."""
        with self._pipeline.changing:
            if self._cancelled.is_set():  # stopped on purpose: nobody waits for it
                return
            self._processor = None
            self._change_report(state="failed", detail=str(error))
        self._pipeline.on_loaded(error)

    def on_frames(self, backend: Backend, frames: dict[str, Frame]) -> None:
        """See `WorkerEvents.on_frames`."""
        processor = self._processor
        if processor is None:  # stopped meanwhile
            for frame in frames.values():
                frame.drop(DropReason.STOPPED)
            return
        try:
            processor.process(list(frames.values()))
        except BackendLostError as error:
            self.on_failed(error)
        except Exception:
            if self._pipeline.middleware_is_up():
                raise
            # A signal took publishers away in the middle of a frame; the process is ending.

    def _on_progress(self, phase: str, share: float) -> None:
        with self._pipeline.changing:
            if not self._cancelled.is_set():
                self._change_report(state="building", detail=f"{phase}, {share * 100:.0f} %")

    def _change_report(self, **changes: str) -> None:
        self._pipeline.report = replace(self._pipeline.report, **changes)
