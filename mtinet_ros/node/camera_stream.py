# SPDX-License-Identifier: Apache-2.0
"""The pipeline's half of a camera: from messages to images, from predictions to topics."""

from __future__ import annotations

import traceback

import numpy as np

from mtinet_ros.errors import InputError
from mtinet_ros.messages.image_decoder import ImageDecoder
from mtinet_ros.node.camera_outputs import CameraOutputs
from mtinet_ros.node.frame_processor import Frame
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.statistics import DropReason, StreamStatistics
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.resample import resize_prediction


class CameraStream:
    """Decodes the frames of one camera and publishes their predictions (`FrameStream`).

    Attributes:
        name: Name of the camera.
        decoder: Decoder of its messages.
        outputs: Topics of the camera.
        statistics: Counters of the camera.
        at_camera_size: Whether outputs are brought to the size of the camera's image.
        max_age: Age in seconds beyond which a frame is not worth an answer; 0: there is none.
    """

    def __init__(
        self, name: str, decoder: ImageDecoder, outputs: CameraOutputs, problems: ProblemLog
    ) -> None:
        """Join the parts; `problems` is the log of what is wrong with a frame."""
        self.name = name
        self.decoder = decoder
        self.outputs = outputs
        self.statistics = StreamStatistics()
        self.at_camera_size = False
        self.max_age = 0.0
        self._problems = problems

    def wanted_outputs(self) -> frozenset[str] | None:
        """Outputs of the model that have subscribers; None if no topic has any."""
        return self.outputs.wanted_outputs()

    def decode(self, frame: Frame) -> DecodedImage:
        """Image of a frame's message. Raises `InputError` if it cannot be understood."""
        return self.decoder.decode(frame.message)

    def publish(
        self, frame: Frame, decoded: DecodedImage, prediction: Prediction
    ) -> DropReason | None:
        """Publish what has subscribers, under the header that came with the image.

        Returns:
            None, or why nothing was published.
        """
        self._problems.resolve(f"{self.name}: image", "images are usable again")
        self._problems.resolve(f"{self.name}: age", "images are in time again")
        if self.at_camera_size:
            prediction = resize_prediction(prediction, decoded.image)
        if decoded.valid_mask is not None:
            prediction = prediction.masked(decoded.valid_mask)
        self._check_depth(prediction)
        was_published = self.outputs.publish(prediction, frame.message.header)
        return None if was_published else DropReason.STOPPED

    def _check_depth(self, prediction: Prediction) -> None:
        if prediction.depth is None:
            return
        subject = f"{self.name}: depth"
        if np.isfinite(prediction.depth).any():
            self._problems.resolve(subject, "has valid pixels again")
            return
        self._problems.report(
            subject,
            "is NaN everywhere: no pixel is within the range the model was trained for; is the "
            "camera covered, or its calibration wrong?",
        )

    def reject(self, error: InputError) -> None:
        """Report a frame that cannot be used."""
        self._problems.report(f"{self.name}: image", str(error))

    def report_too_old(self, frame: Frame) -> None:
        """Report a frame that is older than `max_age`."""
        came_too_late = frame.age_when_received > self.max_age
        self._problems.report(
            f"{self.name}: age",
            f"images are older than max_age_ms ({self.max_age * 1e3:g}) and dropped: "
            + (
                "their stamps are older than that when they come in; is the network slow, or do "
                "the clocks of driver and node differ?"
                if came_too_late
                else "they wait too long for the network; fewer cameras, a lower max_rate or a "
                "faster backend help"
            ),
        )

    def report_defect(self, error: Exception) -> None:
        """Report a frame on which this package, or a library, failed in an unforeseen way.

        The traceback is for whoever mends it; one a half minute is enough.
        """
        trace = "".join(traceback.format_exception(error)).rstrip()
        self._problems.report(f"{self.name}: image", f"a defect; please report it:\n{trace}")
