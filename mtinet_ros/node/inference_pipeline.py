# SPDX-License-Identifier: Apache-2.0
"""The network of the node: loaded and run in one worker thread, fed by all cameras."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from mtinet_ros.errors import BackendError, BackendLostError, InputError, MtinetError
from mtinet_ros.inference import Backend, Progress
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.camera import Camera, DecodedFrame, Frame
from mtinet_ros.node.diagnostics import EngineReport
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.scheduler import InferenceWorker, NewestFrames
from mtinet_ros.perception.predictor import Predictor


class Engine:
    """Takes the cameras' newest frames and has their predictions published.

    `start`, `stop` and `submit` belong to the executor's thread, `on_…` to the worker's.

    Attributes:
        report: How it is doing, for diagnostics.
    """

    def __init__(
        self,
        load: Callable[[Progress, threading.Event], Backend],
        card: ModelCard,
        fit: str,
        cameras: Mapping[str, Camera],
        problems: ProblemLog,
        on_loaded: Callable[[MtinetError | None], None],
        middleware_is_up: Callable[[], bool],
        predecessor: Engine | None = None,
    ) -> None:
        """Prepare; `start` begins loading.

        Args:
            load: Makes the backend; called in the worker's thread with what to tell about its
                progress, and an event that is set when nobody waits for it any more.
            card: Card of the model, for the report.
            fit: How images are fitted, or empty for the card's way.
            cameras: By name; filled before `start`.
            problems: Where troubles are logged.
            on_loaded: Told in the worker's thread how loading ended: None, or why it failed; and
                later, why a backend was lost for good.
            middleware_is_up: False once a signal has shut the middleware down.
            predecessor: A stopped engine that may still be about its last frame: loading waits
                until it has given its GPU memory back.
        """
        self._fit = fit
        self._cameras = cameras
        self._problems = problems
        self._tell_loaded = on_loaded
        self._middleware_is_up = middleware_is_up
        self._frames: NewestFrames[Frame] = NewestFrames()
        self._cancelled = threading.Event()
        # Held while `report`, `_perceiver` and `_cancelled` change together, in either thread.
        self._changing = threading.Lock()

        before = [predecessor]  # taken out when it is done with: else each would keep the last

        def load_after_predecessor() -> Backend:
            if (old := before.pop()) is not None:
                old.stop(threading.TIMEOUT_MAX)
                del old
            return load(self._note_progress, self._cancelled)

        self._worker = InferenceWorker(load_after_predecessor, self._frames, self)
        self._perceiver: Predictor | None = None
        self.report = EngineReport("loading", model=card.name, precision=card.precision)

    def start(self) -> None:
        """Begin loading the model, and return."""
        self._worker.start()

    def stop(self, timeout: float) -> bool:
        """End the worker and close the backend; returns whether that happened in time [s]."""
        with self._changing:
            self._perceiver = None
            self._cancelled.set()
            if self.is_alive:
                self.report = replace(self.report, state="unloaded", detail="")
        return self._worker.stop(timeout)

    @property
    def is_alive(self) -> bool:
        """Whether it is loading or running."""
        return self.report.state in ("loading", "building", "ready")

    def submit(self, camera: str, frame: Frame) -> bool:
        """Take a frame if the network is ready; returns whether an older one was dropped."""
        if self._perceiver is None:
            self._cameras[camera].statistics.frame_dropped("engine not ready")
            self._problems.report_once("engine", "not ready yet; images are dropped until it is")
            return False
        return self._frames.put(camera, frame)

    def on_ready(self, backend: Backend) -> None:
        """See `WorkerEvents.on_ready`."""
        predictor = Predictor(backend, self._fit)
        with self._changing:
            if self._cancelled.is_set():
                return
            self._perceiver = predictor
            self.report = replace(
                self.report, state="ready", detail="", backend=backend.name, device=backend.device
            )
        self._problems.resolve("engine", f"ready: {backend.name} on {backend.device}")
        self._tell_loaded(None)

    def on_failed(self, error: MtinetError) -> None:
        """See `WorkerEvents.on_failed`; also when the backend is lost later."""
        with self._changing:
            if self._cancelled.is_set():  # stopped on purpose: nobody waits for it
                return
            self._perceiver = None
            self.report = replace(self.report, state="failed", detail=str(error))
        self._tell_loaded(error)

    def _note_progress(self, phase: str, share: float) -> None:
        with self._changing:
            if not self._cancelled.is_set():
                self.report = replace(
                    self.report, state="building", detail=f"{phase}, {share * 100:.0f} %"
                )

    def on_frames(self, backend: Backend, frames: dict[str, Frame]) -> None:
        """See `WorkerEvents.on_frames`."""
        predictor = self._perceiver
        if predictor is None:  # stopped meanwhile
            return
        try:
            self._perceive(predictor, frames)
        except Exception:
            if self._middleware_is_up():
                raise
            # A signal took publishers away in the middle of a frame; the process is ending.

    def _perceive(self, predictor: Predictor, frames: dict[str, Frame]) -> None:
        decoded: dict[Camera, DecodedFrame] = {}
        wanted: dict[Camera, frozenset[str]] = {}
        for name, frame in frames.items():
            camera = self._cameras[name]
            needs = camera.outputs.wanted()
            if needs is None:
                camera.statistics.frame_dropped("nobody listens")
                continue
            try:
                item = camera.decode(frame)
                fit = predictor.plan_fit((item.image.shape[0], item.image.shape[1]))
            except InputError as error:
                camera.reject(error)
                continue
            except Exception as error:  # one camera's frame must not cost the others theirs
                camera.report_defect(error)
                continue
            if fit.is_stretched:
                self._problems.report_once(
                    f"{name}: fit", "stretches the image, so that metric depth is approximate"
                )
            decoded[camera], wanted[camera] = item, needs
        if not decoded:
            return
        try:
            predictions = predictor.predict(
                [item.image for item in decoded.values()],
                [item.camera for item in decoded.values()],
                frozenset().union(*wanted.values()),
            )
        except BackendLostError as error:
            self.on_failed(error)
            return
        except BackendError as error:
            self._problems.report("engine", str(error))
            for camera in decoded:
                camera.statistics.frame_dropped("inference failed")
            return
        self._problems.resolve("engine", "works again")
        for (camera, item), prediction in zip(decoded.items(), predictions, strict=True):
            try:
                camera.publish(prediction.only(wanted[camera]), item)
            except Exception as error:
                if not self._middleware_is_up():
                    raise
                camera.report_defect(error)
