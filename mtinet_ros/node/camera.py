# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its subscriptions, its lens, its topics and its counters."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mtinet_ros.errors import InputError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.adaptive_subscription import AdaptiveSubscription
from mtinet_ros.node.camera_info_message import camera_model
from mtinet_ros.node.camera_outputs import CameraOutputs
from mtinet_ros.node.diagnostics import CameraReport
from mtinet_ros.node.image_message import decode_compressed_image, decode_image
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.settings import CameraSettings, NodeSettings, image_and_info_topics
from mtinet_ros.node.statistics import StreamStatistics
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.rectify import Rectifier
from mtinet_ros.perception.resample import resize_prediction

# How long the first images wait for a CameraInfo, in seconds: discovery may bring it later.
_CAMERA_INFO_PATIENCE = 1.0

# Longest step of a simulation's or a bag's /clock, in seconds.
_CLOCK_STEP = 0.2

# Stamps may come out of order by less than this; more is a jump. Nanoseconds.
_TIME_JUMP = 1_000_000_000


@dataclass(frozen=True)
class Frame:
    """One image on its way: the message as it came, and when, on the steady clock in seconds."""

    message: Image | CompressedImage
    received: float


@dataclass(frozen=True)
class DecodedFrame:
    """A frame ready for the network.

    Attributes:
        frame: What it came from.
        image: uint8 [h,w,3] RGB, rectified where that was asked for.
        camera: Model of `image`, or None where the lens is not known.
        seen: bool [h,w], where a rectified image shows something; None: everywhere.
    """

    frame: Frame
    image: NDArray[np.uint8]
    camera: CameraModel | None
    valid_mask: NDArray[np.bool_] | None = None


class Camera:
    """Receives, decodes and publishes for one camera; the network in between is not its business.

    `subscribe` and its callbacks run in the executor's thread, `decode` and `publish` in the
    worker's.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: CameraSettings,
        node_settings: NodeSettings,
        card: ModelCard,
        problems: ProblemLog,
        on_frame: Callable[[str, Frame], bool],
    ) -> None:
        """Advertise the outputs; `subscribe` starts receiving.

        Args:
            node: Whose camera it is.
            settings: Its parameters.
            node_settings: The node's.
            card: Card of the model.
            problems: Where troubles are logged.
            on_frame: Takes a new frame by camera name; returns whether it pushed out an older one.
        """
        self.name = settings.name
        self.statistics = StreamStatistics()
        self.outputs = CameraOutputs(node, settings, card, node_settings.depth_encoding)
        self._node = node
        self._problems = problems
        self._on_frame = on_frame
        self.image_topic, self._info_topic = image_and_info_topics(settings)
        self._compressed = settings.transport == "compressed"
        self._subscriptions: list[AdaptiveSubscription] = []
        self._first_received = math.inf
        self.apply(settings, node_settings)
        self._reset()

    def apply(self, settings: CameraSettings, node_settings: NodeSettings) -> None:
        """Take over parameters that may change at any time."""
        self._max_rate = settings.max_rate
        self._rectify = settings.rectify == "auto"
        self._at_camera_size = node_settings.output_size == "camera"
        self.outputs.depth_encoding = node_settings.depth_encoding
        self.outputs.points_stride = settings.points_stride

    def _reset(self) -> None:
        """Forget the stream, before it begins.

        Time that jumps backwards does not ask for it: the lens stays what it was, and a latched
        calibration would not be sent again.
        """
        self._info: CameraInfo | None = None
        self._rectifier: Rectifier | None = None
        self._last_accepted = -math.inf
        self._last_stamp = 0  # nanoseconds
        self._stamp_age = math.nan

    def subscribe(self) -> None:
        """Subscribe to images and calibration."""
        self._reset()
        self._first_received = math.inf
        self.statistics.listening_began(time.monotonic())
        message_type = CompressedImage if self._compressed else Image
        # One by one, so that the first is given back if the second is refused.
        for kind, topic, callback in (
            (CameraInfo, self._info_topic, self._on_info),
            (message_type, self.image_topic, self._on_image),
        ):
            self._subscriptions.append(AdaptiveSubscription(self._node, kind, topic, callback))

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            subscription.destroy()
        self._subscriptions = []

    def report(self, is_active: bool, silence_timeout: float) -> CameraReport:
        """How this camera is, for diagnostics."""
        images = self._subscriptions[-1] if self._subscriptions else None
        summary = self.statistics.summary()
        is_silent = summary.age_of_last_frame > silence_timeout
        return CameraReport(
            name=self.name,
            topic=images.topic if images else self.image_topic,
            active=is_active,
            has_subscribers=self.outputs.wanted() is not None,
            summary=summary,
            silence_timeout=silence_timeout,
            why_silent=images.describe_publishers() if images and is_silent else "",
            stamp_age=self._stamp_age,
            troubles=self._problems.current(f"{self.name}: "),
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

    def _on_info(self, info: CameraInfo) -> None:
        self._info = info

    def _on_image(self, message: Image | CompressedImage) -> None:
        now = time.monotonic()
        self.statistics.frame_received(now)
        self._look_at_header(message.header)
        # A tenth of a period is forgiven, so that a camera's jitter does not halve its rate.
        if self._max_rate > 0.0 and now - self._last_accepted < 0.9 / self._max_rate:
            self.statistics.frame_dropped("max_rate")
            return
        self._first_received = min(self._first_received, now)
        if self._info is None and now - self._first_received < _CAMERA_INFO_PATIENCE:
            self.statistics.frame_dropped("waiting for camera_info")
            return
        self._last_accepted = now
        if self._on_frame(self.name, Frame(message, now)):
            self.statistics.frame_dropped("newer frame came")

    def _look_at_header(self, header: Header) -> None:
        """Notice frames without a usable frame_id or stamp, and time that runs backwards."""
        if "optical" not in header.frame_id:
            self._problems.report_once(
                f"{self.name}: frame_id",
                f"is {header.frame_id!r}; images need the camera's optical frame (REP 103), "
                "usually named ..._optical_frame, or all that uses the outputs is turned wrongly",
            )
        else:
            self._problems.resolve(f"{self.name}: frame_id")
        # Not rclpy's Time: it raises on the negative seconds that the message's int32 allows.
        stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        if stamp <= 0:
            self._problems.report_once(
                f"{self.name}: stamp",
                f"is {'zero' if stamp == 0 else 'before 1970'}; the driver does not set it",
            )
            self._stamp_age = math.nan
            return
        self._problems.resolve(f"{self.name}: stamp")
        now = self._node.get_clock().now().nanoseconds
        if now == 0:  # of simulated time alone
            self._problems.report_once(
                f"{self.name}: clock",
                "use_sim_time is set and no time has come on /clock yet; is the simulation or bag "
                "running, with --clock?",
            )
            self._stamp_age = math.nan
        else:
            self._problems.resolve(f"{self.name}: clock")
            age = (now - stamp) * 1e-9
            # /clock comes in steps, between which images are stamped ahead of it.
            is_simulated = self._node.get_parameter("use_sim_time").value
            self._stamp_age = 0.0 if is_simulated and -_CLOCK_STEP < age < 0.0 else age
        if stamp < self._last_stamp - _TIME_JUMP:
            self._problems.report(
                f"{self.name}: time",
                f"jumped back by {(self._last_stamp - stamp) * 1e-9:.1f} s (a bag looping?)",
            )
        else:
            self._problems.resolve(f"{self.name}: time")
        self._last_stamp = stamp

    def decode(self, frame: Frame) -> DecodedFrame:
        """Bytes to an RGB image with its camera model.

        Raises:
            InputError: The message cannot be understood.
        """
        if isinstance(frame.message, CompressedImage):
            image = decode_compressed_image(frame.message)
        else:
            image = decode_image(frame.message)
        camera = self._camera_model(image)
        valid_mask = None
        if camera is not None and camera.is_distorted:
            if self._rectify:
                # Taken once: the executor's thread may forget it at any moment.
                rectifier = self._rectifier
                if rectifier is None or not rectifier.fits(camera):
                    rectifier = self._rectifier = Rectifier(camera)
                image, camera, valid_mask = (
                    rectifier.apply(image),
                    rectifier.camera,
                    rectifier.valid_mask,
                )
            else:
                # Such a topic shares its CameraInfo with the raw one: K and D are of the latter.
                camera = camera.rectified()
        return DecodedFrame(frame, image, camera, valid_mask)

    def publish(self, prediction: Prediction, decoded: DecodedFrame) -> None:
        """Send what somebody listens to, under the header that came with the image."""
        self._problems.resolve(f"{self.name}: image", "images are usable again")
        if self._at_camera_size:
            prediction = resize_prediction(prediction, decoded.image)
        if decoded.valid_mask is not None:
            prediction = prediction.masked(decoded.valid_mask)
        self.outputs.publish(prediction, decoded.frame.message.header)
        self.statistics.frame_answered(decoded.frame.received, time.monotonic())

    def reject(self, error: InputError) -> None:
        """Count and log a frame that cannot be used."""
        self.statistics.frame_dropped("unusable image")
        self._problems.report(f"{self.name}: image", str(error))

    def report_defect(self, error: Exception) -> None:
        """Count and log a frame on which this package, or a library, failed in an unforeseen way.

        The traceback is for whoever mends it; one a half minute is enough.
        """
        self.statistics.frame_dropped("defect")
        trace = "".join(traceback.format_exception(error)).rstrip()
        self._problems.report(f"{self.name}: image", f"a defect; please report it:\n{trace}")

    def _camera_model(self, image: NDArray[np.uint8]) -> CameraModel | None:
        subject = f"{self.name}: camera_info"
        info = self._info
        consequence = "so depth is up to scale and no camera_info or points are published"
        if info is None:
            self._problems.report_once(
                subject, f"none received on {self._info_topic}, {consequence}"
            )
            return None
        try:
            model = camera_model(info, (image.shape[0], image.shape[1]))
        except InputError as error:
            self._problems.report(subject, f"{error}, {consequence}")
            return None
        self._problems.resolve(subject, "usable now")
        return model
