# SPDX-License-Identifier: Apache-2.0
"""The executor's half of a camera: its subscriptions, from which frames go into the pipeline."""

from __future__ import annotations

import math
import time
from typing import Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home until Iron
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtinet_ros.messages.image_decoder import ImageDecoder
from mtinet_ros.messages.image_message import is_compressed
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.adaptive_subscription import AdaptiveSubscription
from mtinet_ros.node.camera_outputs import CameraOutputs
from mtinet_ros.node.camera_stream import CameraStream
from mtinet_ros.node.camera_topics import camera_topics
from mtinet_ros.node.diagnostics import CameraReport
from mtinet_ros.node.frame_processor import Frame
from mtinet_ros.node.inference_pipeline import InferencePipeline
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.settings import CameraSettings, NodeSettings
from mtinet_ros.node.stamp_monitor import StampMonitor
from mtinet_ros.node.statistics import DropReason

# How long the first images wait for a CameraInfo, in seconds: discovery may bring it later.
_CAMERA_INFO_PATIENCE = 1.0


class Camera:
    """Receives the images of one camera and submits them to the pipeline.

    Everything here runs in the executor's thread; what happens to a frame in the pipeline is the
    business of its `CameraStream`.

    Attributes:
        name: Name of the camera.
        outputs: Topics of the camera.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: CameraSettings,
        node_settings: NodeSettings,
        card: ModelCard,
        problems: ProblemLog,
        pipeline: InferencePipeline,
    ) -> None:
        """Advertise the outputs; `subscribe` starts receiving.

        Args:
            node: Node that subscribes and publishes.
            settings: Parameters of the camera.
            node_settings: Parameters of the node.
            card: Card of the model.
            problems: Log of what goes wrong.
            pipeline: Pipeline that takes the frames.
        """
        self.name = settings.name
        self._topics = camera_topics(node, settings)
        self.outputs = CameraOutputs(node, settings, card, node_settings.depth_encoding)
        image_topic, info_topic = (
            str(node.resolve_topic_name(name))
            for name in (self._topics.image, self._topics.camera_info)
        )
        decoder = ImageDecoder(self.name, image_topic, info_topic, problems)
        decoder.keeps_raw = node_settings.fit_on_gpu
        self._stream = CameraStream(self.name, decoder, self.outputs, problems)
        self._stamps = StampMonitor(
            self.name,
            problems,
            now=lambda: int(node.get_clock().now().nanoseconds),
            is_simulated=lambda: bool(node.get_parameter("use_sim_time").value),
        )
        self._node = node
        self._problems = problems
        self._pipeline = pipeline
        self._message_type = CompressedImage if settings.transport == "compressed" else Image
        self._subscriptions: list[AdaptiveSubscription] = []
        # The steady clock: simulated time may stand still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._waiting: Frame | None = None
        self._patience_timer: Any = None
        self.apply(settings, node_settings)
        self._reset()

    def apply(self, settings: CameraSettings, node_settings: NodeSettings) -> None:
        """Take over parameters that may change at any time."""
        self._max_rate = settings.max_rate
        self._stream.decoder.rectify = settings.rectify == "auto"
        self._stream.max_age = settings.max_age_ms * 1e-3
        if settings.max_age_ms == 0.0:
            self._problems.resolve(f"{self.name}: age")
        self._stream.at_camera_size = node_settings.output_size == "camera"
        self.outputs.apply(settings, node_settings.depth_encoding)

    def _reset(self) -> None:
        """Forget the stream, before it begins; but not the lens, which may be told only once."""
        self._stamps.reset()
        self._drop_waiting()
        self._last_accepted = -math.inf
        self._first_received = math.inf

    def subscribe(self) -> None:
        """Subscribe to images and calibration."""
        self._reset()
        self._stream.statistics.subscribed(time.monotonic())
        # One by one, so that the first is given back if the second is refused.
        for message_type, topic, callback in (
            (CameraInfo, self._topics.camera_info, self._on_camera_info),
            (self._message_type, self._topics.image, self._on_image),
        ):
            self._subscriptions.append(
                AdaptiveSubscription(self._node, message_type, topic, callback)
            )

    def unsubscribe(self) -> None:
        """Receive nothing any more."""
        self._drop_waiting()
        for subscription in self._subscriptions:
            subscription.destroy()
        self._subscriptions = []

    def report(self, is_active: bool, silence_timeout: float) -> CameraReport:
        """State of the camera, for diagnostics."""
        calibrations, images = self._subscriptions or (None, None)
        subject = f"{self.name}: camera_info topic"
        if calibrations and (mismatch := calibrations.type_mismatch()):
            self._problems.report_once(subject, mismatch)
        else:
            self._problems.resolve(subject)
        summary = self._stream.statistics.summary()
        is_silent = summary.age_of_last_frame > silence_timeout
        return CameraReport(
            name=self.name,
            topic=images.topic if images else self._topics.image,
            active=is_active,
            has_subscribers=self.outputs.wanted_outputs() is not None,
            summary=summary,
            silence_timeout=silence_timeout,
            why_silent=images.describe_publishers() if images and is_silent else "",
            stamp_age=self._stamps.age,
            problems=self._problems.current(f"{self.name}: "),
        )

    def report_silence(self, report: CameraReport) -> None:
        """Log once that no images come, with what the graph knows, and once that they do again."""
        subject = f"{self.name}: silence"
        if report.active and report.why_silent:
            self._problems.report_once(
                subject,
                f"no image on {report.topic} for {report.silence_timeout:g} s: "
                f"{report.why_silent}",
            )
        elif (
            math.isfinite(self._first_received)
            and report.summary.age_of_last_frame <= report.silence_timeout
        ):
            self._problems.resolve(subject, f"images come in on {report.topic}")

    def destroy(self) -> None:
        """Give back subscriptions and publishers."""
        self.unsubscribe()
        self.outputs.destroy()

    def _on_camera_info(self, info: CameraInfo) -> None:
        self._stream.decoder.add_calibration(info)
        if self._waiting is not None and self._has_calibration(self._waiting.message):
            self._submit_waiting()

    def _on_image(self, message: Image | CompressedImage) -> None:
        now = time.monotonic()
        self._stream.statistics.frame_received(now)
        self._stamps.check(message.header)
        age = self._stamps.plausible_age(matters=self._stream.max_age > 0.0)
        frame = Frame(self._stream, message, now, age)
        # A tenth of a period is forgiven, so that a camera's jitter does not halve its rate.
        if self._max_rate > 0.0 and now - self._last_accepted < 0.9 / self._max_rate:
            frame.drop(DropReason.MAX_RATE)
            return
        self._first_received = min(self._first_received, now)
        patience = self._first_received + _CAMERA_INFO_PATIENCE - now
        if patience > 0.0 and not self._has_calibration(message):
            self._wait(frame, patience)
            return
        self._drop_waiting()
        self._last_accepted = now
        self._pipeline.submit(frame)

    def _has_calibration(self, message: Image | CompressedImage) -> bool:
        size = None if is_compressed(message) else (message.height, message.width)
        return self._stream.decoder.has_calibration(size)

    def _wait(self, frame: Frame, patience: float) -> None:
        """Keep the newest of the first images until a CameraInfo comes, or patience [s] ends."""
        if self._waiting is not None:
            self._waiting.drop(DropReason.WAITING_FOR_CAMERA_INFO)
        else:
            self._patience_timer = self._node.create_timer(
                patience, self._submit_waiting, clock=self._steady_clock
            )
        self._waiting = frame

    def _submit_waiting(self) -> None:
        if (frame := self._take_waiting()) is not None:
            self._last_accepted = time.monotonic()
            self._pipeline.submit(frame)

    def _drop_waiting(self) -> None:
        if (frame := self._take_waiting()) is not None:
            frame.drop(DropReason.WAITING_FOR_CAMERA_INFO)

    def _take_waiting(self) -> Frame | None:
        """The frame that waits for a CameraInfo, if any, which waits no longer."""
        frame, self._waiting = self._waiting, None
        if self._patience_timer is not None:
            self._node.destroy_timer(self._patience_timer)
            self._patience_timer = None
        return frame
