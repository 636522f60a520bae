# SPDX-License-Identifier: Apache-2.0
"""The worker's half of a camera: from its messages to images, from predictions to topics."""

from __future__ import annotations

import time
import traceback

import numpy as np

from mtinet_ros.errors import InputError
from mtinet_ros.node.camera_outputs import CameraOutputs
from mtinet_ros.node.frame_processor import DecodedImage, Frame
from mtinet_ros.node.image_decoder import ImageDecoder
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.statistics import StreamStatistics
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
        self._problems = problems

    def wanted_outputs(self) -> frozenset[str] | None:
        """Outputs of the model that have subscribers; None if no topic has any."""
        return self.outputs.wanted_outputs()

    def decode(self, frame: Frame) -> DecodedImage:
        """Image of a frame's message. Raises `InputError` if it cannot be understood."""
        return self.decoder.decode(frame.message)

    def publish(self, frame: Frame, decoded: DecodedImage, prediction: Prediction) -> None:
        """Publish what has subscribers, under the header that came with the image."""
        self._problems.resolve(f"{self.name}: image", "images are usable again")
        if self.at_camera_size:
            prediction = resize_prediction(prediction, decoded.image)
        if decoded.valid_mask is not None:
            prediction = prediction.masked(decoded.valid_mask)
        self._check_depth(prediction)
        self.outputs.publish(prediction, frame.message.header)
        self.statistics.frame_answered(frame.received, time.monotonic())

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

    def report_defect(self, error: Exception) -> None:
        """Report a frame on which this package, or a library, failed in an unforeseen way.

        The traceback is for whoever mends it; one a half minute is enough.
        """
        trace = "".join(traceback.format_exception(error)).rstrip()
        self._problems.report(f"{self.name}: image", f"a defect; please report it:\n{trace}")
