# SPDX-License-Identifier: Apache-2.0
"""A frame's way through the worker thread: decode, preprocess, infer, postprocess, publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, BackendLostError, InputError
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.statistics import DropReason, StreamStatistics
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Batch, Predictor


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image ready to be preprocessed.

    Attributes:
        image: uint8 [h,w,3] RGB, rectified where that was asked for.
        camera: Model of `image`, or None where the lens is not known.
        valid_mask: bool [h,w], True where a rectified image shows something; None: everywhere.
    """

    image: NDArray[np.uint8]
    camera: CameraModel | None
    valid_mask: NDArray[np.bool_] | None = None


class FrameStream(Protocol):
    """A camera as the worker's thread sees it; see `CameraStream`."""

    @property
    def name(self) -> str:
        """Name of the camera."""

    @property
    def statistics(self) -> StreamStatistics:
        """Counters of the camera."""

    def wanted_outputs(self) -> frozenset[str] | None:
        """Outputs of the model that have subscribers; None if no topic has any."""

    def decode(self, frame: Frame) -> DecodedImage:
        """Image of a message. Raises `InputError`."""

    def publish(self, frame: Frame, decoded: DecodedImage, prediction: Prediction) -> None:
        """Publish what was predicted for a frame."""

    def reject(self, error: InputError) -> None:
        """Report a frame that cannot be used."""

    def report_defect(self, error: Exception) -> None:
        """Report a frame on which the package, or a library, failed in an unforeseen way."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image message on its way from a camera through the pipeline.

    Attributes:
        stream: Decoder and publisher of the camera it came from.
        message: sensor_msgs/Image or CompressedImage as received.
        received: Time of receipt on the steady clock, in seconds.
    """

    stream: FrameStream
    message: Any
    received: float

    def drop(self, reason: DropReason) -> None:
        """Count the frame as one that will not be answered."""
        self.stream.statistics.frame_dropped(reason)


@dataclass(frozen=True, eq=False)
class _Pending:
    """A frame whose image is in the batch."""

    frame: Frame
    decoded: DecodedImage
    wanted: frozenset[str]


class FrameProcessor:
    """Takes frames of several cameras to their topics in one run of the network.

    One camera's bad frame costs the others nothing. Belongs to the worker's thread.
    """

    def __init__(
        self, predictor: Predictor, problems: ProblemLog, middleware_is_up: Callable[[], bool]
    ) -> None:
        """Prepare.

        Args:
            predictor: What runs the network.
            problems: Log of what goes wrong.
            middleware_is_up: False once a signal has shut the middleware down.
        """
        self._predictor = predictor
        self._batch = predictor.new_batch()
        self._problems = problems
        self._middleware_is_up = middleware_is_up

    def process(self, frames: Sequence[Frame]) -> None:
        """Answer or drop each frame; at most `backend.max_batch` of them.

        Raises:
            BackendLostError: The backend failed for good.
        """
        self._batch.clear()
        pending = [p for frame in frames if (p := self._preprocess(frame, self._batch))]
        if not pending:
            return
        wanted = frozenset().union(*(item.wanted for item in pending))
        try:
            outputs = self._predictor.infer(self._batch, wanted)
            predictions = self._predictor.postprocess(self._batch, outputs)
        except BackendError as error:
            for item in pending:
                item.frame.drop(DropReason.INFERENCE_FAILED)
            if isinstance(error, BackendLostError):
                raise
            self._problems.report("engine", str(error))
            return
        except Exception as error:  # of this package, or of a library
            if not self._middleware_is_up():
                raise
            for item in pending:
                item.frame.drop(DropReason.DEFECT)
                item.frame.stream.report_defect(error)
            return
        self._problems.resolve("engine", "works again")
        for item, prediction in zip(pending, predictions, strict=True):
            self._publish(item, prediction)

    def _preprocess(self, frame: Frame, batch: Batch) -> _Pending | None:
        """Put a frame's image into the batch, or drop the frame."""
        stream = frame.stream
        wanted = stream.wanted_outputs()
        if wanted is None:
            frame.drop(DropReason.NO_SUBSCRIBERS)
            return None
        try:
            decoded = stream.decode(frame)
            fit = self._predictor.preprocess(batch, decoded.image, decoded.camera)
        except InputError as error:
            frame.drop(DropReason.UNUSABLE)
            stream.reject(error)
            return None
        except Exception as error:  # one camera's frame must not cost the others theirs
            frame.drop(DropReason.DEFECT)
            stream.report_defect(error)
            return None
        if fit.is_stretched:
            self._problems.report_once(
                f"{stream.name}: fit", "stretches the image, so that metric depth is approximate"
            )
        return _Pending(frame, decoded, wanted)

    def _publish(self, item: _Pending, prediction: Prediction) -> None:
        stream = item.frame.stream
        try:
            stream.publish(item.frame, item.decoded, prediction.only(item.wanted))
        except Exception as error:
            if not self._middleware_is_up():
                raise
            item.frame.drop(DropReason.DEFECT)
            stream.report_defect(error)
