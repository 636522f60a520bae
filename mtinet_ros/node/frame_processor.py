# SPDX-License-Identifier: Apache-2.0
"""A frame's way in steps: decode and preprocess, infer, postprocess and publish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mtinet_ros.errors import BackendError, BackendLostError, InputError
from mtinet_ros.inference import Outputs, Run
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.statistics import DropReason, StreamStatistics
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Batch, Predictor


class FrameStream(Protocol):
    """A camera as the threads of the pipeline see it; see `CameraStream`.

    `decode` is called in one thread and `publish` in one, which may be another.
    """

    @property
    def name(self) -> str:
        """Name of the camera."""

    @property
    def statistics(self) -> StreamStatistics:
        """Counters of the camera."""

    @property
    def max_age(self) -> float:
        """Age in seconds beyond which a frame is not worth an answer; 0: there is no such age."""

    def wanted_outputs(self) -> frozenset[str] | None:
        """Outputs of the model that have subscribers; None if no topic has any."""

    def decode(self, frame: Frame) -> DecodedImage:
        """Image of a message. Raises `InputError`."""

    def publish(
        self, frame: Frame, decoded: DecodedImage, prediction: Prediction
    ) -> DropReason | None:
        """Publish what was predicted for a frame; None, or why nothing was published."""

    def reject(self, error: InputError) -> None:
        """Report a frame that cannot be used."""

    def report_too_old(self, frame: Frame) -> None:
        """Report a frame that is older than `max_age`."""

    def report_defect(self, error: Exception) -> None:
        """Report a frame on which the package, or a library, failed in an unforeseen way."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image message on its way from a camera through the pipeline.

    Attributes:
        stream: Decoder and publisher of the camera it came from.
        message: sensor_msgs/Image or CompressedImage as received.
        received: Time of receipt on the steady clock, in seconds.
        age_when_received: Seconds of ROS time between its stamp and its receipt; 0: unknown.
    """

    stream: FrameStream
    message: Any
    received: float
    age_when_received: float = 0.0

    @property
    def is_too_old(self) -> bool:
        """Whether it has become older than its camera allows."""
        limit = self.stream.max_age
        return limit > 0.0 and self.age_when_received + time.monotonic() - self.received > limit

    def drop(self, reason: DropReason) -> None:
        """Count the frame as one that will not be answered."""
        self.stream.statistics.frame_dropped(reason)


@dataclass(frozen=True, eq=False)
class _Pending:
    """A frame whose image is in the batch."""

    frame: Frame
    decoded: DecodedImage
    wanted: frozenset[str]


@dataclass(eq=False)
class Work:
    """Frames on their way together; its length is their number.

    Attributes:
        batch: Their images.
        pending: The frames, in the order of the images.
        run: The network's run on them, once it has begun.
        outputs: What the network said of them, once the run is over.
    """

    batch: Batch
    pending: list[_Pending] = field(default_factory=list)
    run: Run | None = None
    outputs: Outputs | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.pending)


class FrameProcessor:
    """Takes frames of several cameras to their topics in one run of the network (`Steps`).

    One camera's bad frame costs the others nothing, and every frame is answered or counted.
    `prepare` and `publish` may have a thread of their own; `begin` and `finish` belong to the
    backend's.

    Attributes:
        is_pipelined: See `Steps`.
        runs_at_once: See `Steps`; 2 where the device works by itself.
    """

    def __init__(
        self,
        predictor: Predictor,
        problems: ProblemLog,
        middleware_is_up: Callable[[], bool],
        is_stopped: Callable[[], bool],
        on_lost: Callable[[BackendLostError], None],
        is_pipelined: bool,
    ) -> None:
        """Allocate the batches, in the backend's thread.

        Args:
            predictor: What runs the network.
            problems: Log of what goes wrong.
            middleware_is_up: False once a signal has shut the middleware down.
            is_stopped: Whether frames that are not in the network yet shall not get there.
            on_lost: Told that the backend has failed for good.
            is_pipelined: See `Steps`.
        """
        self.is_pipelined = is_pipelined
        self.runs_at_once = 2 if is_pipelined and predictor.backend.leaves_cpu_free else 1
        self._predictor = predictor
        self._problems = problems
        self._middleware_is_up = middleware_is_up
        self._is_stopped = is_stopped
        self._on_lost = on_lost
        # They take turns: the one before the last is free again when the next is prepared.
        self._batches = [predictor.new_batch() for _ in range(3 if is_pipelined else 1)]

    def prepare(self, frames: Sequence[Frame]) -> Work | None:
        """Decode and preprocess frames; None if none of them is left."""
        work = Work(self._batches[0])
        work.batch.clear()
        for frame in frames:
            self._preprocess(frame, work)
        if not work.pending:
            return None
        self._batches.append(self._batches.pop(0))
        return work

    def begin(self, work: Work) -> bool:
        """Have the network run on what is not too old by now; whether it does."""
        if self._is_stopped():
            self._drop(work, DropReason.STOPPED)
            return False
        for item in [item for item in work.pending if item.frame.is_too_old]:
            self._drop_too_old(item.frame)
            work.batch.remove(work.pending.index(item))
            work.pending.remove(item)
        if not work.pending:
            return False
        wanted: frozenset[str] = frozenset().union(*(item.wanted for item in work.pending))
        with self._count_failure(work):
            work.run = self._predictor.begin(work.batch, wanted)
        return work.run is not None

    def finish(self, work: Work) -> bool:
        """Wait for the network; whether there is something to publish."""
        assert work.run is not None
        with self._count_failure(work):
            work.outputs = work.run.outputs()
            self._problems.resolve("engine", "works again")
        return work.outputs is not None

    @contextmanager
    def _count_failure(self, work: Work) -> Iterator[None]:
        """Count a batch on which the network fails inside the block, and go on behind it."""
        try:
            yield
        except BackendError as error:
            self._drop(work, DropReason.INFERENCE_FAILED)
            if not isinstance(error, BackendLostError):
                self._problems.report("engine", str(error))
            elif not self._is_stopped():  # as it is after the first of two runs that were lost
                self._on_lost(error)
        except Exception as error:
            self._fail(work, error)

    def publish(self, work: Work) -> None:
        """Postprocess what the network said, and publish it."""
        assert work.outputs is not None
        try:
            predictions = self._predictor.postprocess(work.batch, work.outputs)
        except Exception as error:
            self._fail(work, error)
            return
        for item, prediction in zip(work.pending, predictions, strict=True):
            self._publish(item, prediction)

    def _preprocess(self, frame: Frame, work: Work) -> None:
        """Put a frame's image into the batch, or drop the frame."""
        stream = frame.stream
        if frame.is_too_old:
            self._drop_too_old(frame)
            return
        try:
            wanted = stream.wanted_outputs()
            if wanted is None:
                frame.drop(DropReason.NO_SUBSCRIBERS)
                return
            decoded = stream.decode(frame)
            fit = self._predictor.preprocess(work.batch, decoded.source, decoded.camera)
        except InputError as error:
            frame.drop(DropReason.UNUSABLE)
            stream.reject(error)
            return
        except Exception as error:  # one camera's frame must not cost the others theirs
            self._fail_frame(frame, error)
            return
        work.pending.append(_Pending(frame, decoded, wanted))
        if fit.is_stretched:
            self._problems.report_once(
                f"{stream.name}: fit", "stretches the image, so that metric depth is approximate"
            )

    def _publish(self, item: _Pending, prediction: Prediction) -> None:
        frame = item.frame
        try:
            why_not = frame.stream.publish(frame, item.decoded, prediction.only(item.wanted))
        except Exception as error:
            self._fail_frame(frame, error)
            return
        if why_not is None:
            frame.stream.statistics.frame_answered(frame.received, time.monotonic())
        else:
            frame.drop(why_not)

    def _drop_too_old(self, frame: Frame) -> None:
        frame.drop(DropReason.TOO_OLD)
        frame.stream.report_too_old(frame)

    def _drop(self, work: Work, reason: DropReason) -> None:
        for item in work.pending:
            item.frame.drop(reason)

    def _fail(self, work: Work, error: Exception) -> None:
        """Count a batch on which this package, or a library, failed in an unforeseen way."""
        for item in work.pending:
            self._fail_frame(item.frame, error)

    def _fail_frame(self, frame: Frame, error: Exception) -> None:
        """The same of one frame; that a signal took its publishers away is no defect."""
        if not self._middleware_is_up():
            frame.drop(DropReason.STOPPED)
            return
        frame.drop(DropReason.DEFECT)
        frame.stream.report_defect(error)
