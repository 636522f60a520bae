# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `perception`: cameras in, segmentation, depth and normals out."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from queue import SimpleQueue

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home until Iron
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import (
    Backend,
    CpuSettings,
    EngineSettings,
    GpuSettings,
    Progress,
    load_backend,
)
from mtinet_ros.install_paths import bundled_model, find_model
from mtinet_ros.model_card import ModelCard, read_model_card
from mtinet_ros.node.bond import Bond, bond_status_type
from mtinet_ros.node.camera import Camera
from mtinet_ros.node.diagnostics import PipelineReport, camera_status, pipeline_status
from mtinet_ros.node.inference_pipeline import InferencePipeline
from mtinet_ros.node.parameters import declare_parameters, guard_parameters, read_settings
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.settings import NodeSettings

_DIAGNOSTICS_PERIOD = 1.0  # seconds, as REP 107 suggests
_STOP_TIMEOUT = 5.0  # seconds a frame in the network may take to finish on deactivation
_EXIT_TIMEOUT = 0.5  # the same when the process ends
_FAREWELL = 0.2  # seconds for the answer to the shutdown request to leave


def _load(
    settings: NodeSettings, model: Path, progress: Progress, cancelled: threading.Event
) -> Backend:
    """Load the model as configured; in the worker's thread."""
    engine = EngineSettings(
        cache_dir=settings.engine_cache_dir,
        workspace_mb=settings.workspace_mb,
        largest_batch=settings.max_batch,
    )
    return load_backend(
        model,
        settings.backend,
        min(settings.max_batch, len(settings.cameras)),
        device_id=settings.device_id,
        engine=engine,
        progress=progress,
        cancelled=cancelled,
        cpu=CpuSettings(settings.cpu_precision, settings.cpu_threads),
        gpu=GpuSettings(fits_images=settings.fit_on_gpu),
    )


def _doubts_about(card: ModelCard, fit: str) -> Iterator[str]:
    """Sentences about what a model's user should know before trusting its outputs."""
    if card.untrained:
        yield (
            f"the weights of {card.name} are random: its outputs show that everything runs, and "
            "mean nothing"
        )
    if fit != card.fit:
        yield (
            f"{card.name} was trained on images fitted by {card.fit}, and fit is {fit}: it will "
            "see worse"
        )
    if "depth" in card.tasks and not card.has_metric_depth:
        yield f"{card.name} knows no focal length: its depth is up to scale with any lens"
    if "normals" in card.tasks and card.normals_axes != "camera_optical":
        yield (
            f"{card.name} does not say which way its normals point: they are published as they "
            "were trained, perhaps not in the camera's optical frame; `mtinet export` with "
            "--preset or --normals-axes turns them"
        )


Transition = Callable[["PerceptionNode", LifecycleState], TransitionCallbackReturn]


def _explained(transition: Transition) -> Transition:
    """Log why a transition failed: rclpy swallows exceptions of transition callbacks."""

    @wraps(transition)
    def run(node: PerceptionNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except MtinetError as error:
            node.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            node.get_logger().fatal(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR

    return run


class PerceptionNode(LifecycleNode):
    """Subscribes to cameras and publishes what the network sees; see docs/topics.md.

    Attributes:
        finished: Done when the node was shut down and its process should end.
        exit_status: What the process should end with then.
    """

    def __init__(self) -> None:
        """Declare parameters and wait to be configured.

        Raises:
            ConfigurationError: A parameter given at start is not allowed.
        """
        super().__init__("perception")
        self.finished: Future[None] = Future()
        self.exit_status = 0
        self._settings: NodeSettings | None = None
        self._card: ModelCard | None = None
        self._cameras: dict[str, Camera] = {}
        self._pipeline: InferencePipeline | None = None
        self._bond: Bond | None = None
        self._is_active = False
        self._problems = ProblemLog(self.get_logger())
        declare_parameters(self)
        guard_parameters(self, lambda: self._settings is None, self._apply_settings)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD, self._report, clock=self._steady_clock)
        self._loading_results: SimpleQueue[MtinetError | None] = SimpleQueue()
        self._loading_ended = self.create_guard_condition(self._on_loaded)
        self._end_wanted = self.create_guard_condition(lambda: self._finish(0))

    @_explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check everything, advertise, and begin loading the model in the background."""
        settings = read_settings(self)
        model = find_model(settings.model) if settings.model else bundled_model()
        card = read_model_card(model)
        for warning in _doubts_about(card, settings.fit):
            self.get_logger().warning(warning)
        self._settings, self._card = settings, card
        pipeline = self._pipeline = InferencePipeline(
            partial(_load, settings, model),
            card,
            settings.fit,
            self._problems,
            self._on_loaded_in_worker,
            self.context.ok,
            predecessor=self._pipeline,
            pipelined=settings.pipelined,
            batch_window=settings.batch_window_ms * 1e-3,
        )
        try:
            for camera in settings.cameras:
                self._cameras[camera.name] = Camera(
                    self, camera, settings, card, self._problems, pipeline
                )
            self._bond = self._make_bond(settings.bond_period)
            pipeline.start()
        except Exception:
            self._release()
            raise
        return super().on_configure(state)

    @_explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe; images that come before the model is ready are dropped and counted."""
        assert self._pipeline is not None
        if not self._pipeline.is_alive:
            self._pipeline.start()
        try:
            for camera in self._cameras.values():
                camera.subscribe()
        except Exception:
            self._unsubscribe()
            self._stop_pipeline(_STOP_TIMEOUT)
            raise
        result = super().on_activate(state)
        for camera in self._cameras.values():
            camera.outputs.publish_legends()
        self._is_active = True
        if self._bond is not None:
            self._bond.begin()
        return result

    @_explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """No subscription, no thread, no GPU until the next activation."""
        if self._bond is not None:
            self._bond.end()
        self._unsubscribe()
        self._stop_pipeline(_STOP_TIMEOUT)
        return super().on_deactivate(state)

    @_explained
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back; parameters may be changed and the node configured again."""
        self._release()
        return super().on_cleanup(state)

    @_explained
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back and let the process end."""
        self._release()
        self.create_timer(_FAREWELL, lambda: self._finish(0), clock=self._steady_clock)
        return super().on_shutdown(state)

    @_explained
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a defect: give everything back and be ready to be configured again."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def configure_to_build(self) -> None:
        """Configure without being asked, and finish once the model is loaded (`build_only`)."""
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            self._finish(1)

    def end(self) -> None:
        """Have `finished` done after the callback that runs now; may be called in any thread."""
        self._end_wanted.trigger()

    def close(self) -> bool:
        """Give everything back before the process ends; returns whether the worker has ended."""
        self._unsubscribe()
        return self._stop_pipeline(_EXIT_TIMEOUT)

    def destroy_node(self) -> None:
        """Let go of the middleware, also by the state machine, which rclpy forgets."""
        super().destroy_node()
        # A private name, the same from Humble on; under another one nothing would be let go.
        if machine := getattr(self, "_state_machine", None):
            machine.destroy_when_not_in_use()

    def _make_bond(self, period: float) -> Bond | None:
        """The heartbeat for nav2's lifecycle manager, where there can and shall be one."""
        status_type = bond_status_type() if period > 0.0 else None
        return None if status_type is None else Bond(self, status_type, period)

    def _finish(self, exit_status: int) -> None:
        if not self.finished.done():
            self.exit_status = exit_status
            self.finished.set_result(None)

    def _stop_pipeline(self, timeout: float) -> bool:
        return self._pipeline is None or self._pipeline.stop(timeout)

    def _unsubscribe(self) -> None:
        self._is_active = False
        for camera in self._cameras.values():
            camera.unsubscribe()

    def _release(self) -> None:
        if self._bond is not None:
            self._bond.close()
            self._bond = None
        self._unsubscribe()
        self._stop_pipeline(_STOP_TIMEOUT)
        for camera in self._cameras.values():
            camera.destroy()
        self._cameras = {}
        self._settings = self._card = None  # the pipeline may still be about its last frame

    def _apply_settings(self, settings: NodeSettings) -> None:
        """Take over a change of parameters, from the next frame on."""
        if self._settings is None:
            return
        self._settings = settings
        if self._pipeline is not None:
            self._pipeline.batch_window = settings.batch_window_ms * 1e-3
        for camera in settings.cameras:
            self._cameras[camera.name].apply(camera, settings)

    def _on_loaded_in_worker(self, error: MtinetError | None) -> None:
        """Hand the result of loading to the executor's thread, which transitions belong to."""
        self._loading_results.put(error)
        self._loading_ended.trigger()

    def _on_loaded(self) -> None:
        while not self._loading_results.empty():
            error = self._loading_results.get()
            if error is not None:
                self.get_logger().error(f"the model cannot run: {error}")
                if self._is_active:
                    self.trigger_deactivate()
            if self._settings is not None and self._settings.build_only:
                self._finish(0 if error is None else 1)

    def _report(self) -> None:
        """Publish diagnostics, and log a camera's silence once."""
        if self._card is not None and self._pipeline is not None:
            report, untrained = self._pipeline.report, self._card.untrained
        else:
            report, untrained = PipelineReport(), False
        problem = self._problems.current_of("engine")
        node_name = self.get_fully_qualified_name().lstrip(
            "/"
        )  # several robots share /diagnostics
        statuses = [pipeline_status(node_name, report, untrained, problem)]
        timeout = self._settings.silence_timeout if self._settings else 0.0
        for camera in self._cameras.values():
            camera_report = camera.report(self._is_active, timeout)
            statuses.append(camera_status(node_name, camera_report))
            camera.report_silence(camera_report)
        now = self.get_clock().now().to_msg()
        message = DiagnosticArray(status=statuses)
        message.header.stamp = now
        self._diagnostics.publish(message)
