# SPDX-License-Identifier: Apache-2.0
"""A recording, an output and a backend of a few lines each, for tests of the run between them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.tiny_model import HEIGHT, WIDTH, tiny_card

from mtinet_ros.errors import BackendError, BackendLostError, InputError
from mtinet_ros.inference.backend import Backend, Run, Runs, check_images
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.frame import (
    CameraInput,
    Header,
    Interval,
    PassedMessage,
    RecordedFrame,
)


class ListSource:
    """Frames and messages at given times.

    `events` are (time, camera) of frames, (time, "") of other messages. Frame number i is a
    picture of the one color i; `bad` numbers cannot be read.
    """

    def __init__(
        self,
        events: Sequence[tuple[int, str]],
        bad: Collection[int] = (),
        error_at: tuple[int, Exception] | None = None,
        keep_input: bool = False,
    ) -> None:
        self.path = Path("list")
        self.cameras = tuple(
            CameraInput(name, f"/{name}") for name in sorted({c for _, c in events if c})
        )
        self.problems: list[str] = []
        self.ahead = 0  # decoded and not yet taken by the sink
        self.read_intervals: list[Interval] = []
        self._events = list(events)
        self._bad = bad
        self._error_at = error_at
        self._keep_input = keep_input

    def interval(self) -> Interval:
        if not self._events:
            return Interval()
        return Interval(self._events[0][0], self._events[-1][0] + 1)

    def read(
        self, interval: Interval, with_other_messages: bool = False
    ) -> Iterator[RecordedFrame | PassedMessage]:
        self.read_intervals.append(interval)
        for number, (moment, camera) in enumerate(self._events):
            if self._error_at is not None and number == self._error_at[0]:
                raise self._error_at[1]
            if moment not in interval:
                continue
            message = PassedMessage(
                f"/{camera or 'other'}", "x/msg/X", moment, b"%d" % number, None
            )
            if camera:
                yield RecordedFrame(
                    camera,
                    moment,
                    Header(moment + 5, f"{camera}_optical"),
                    f"{camera}/{number:04}",
                    lambda number=number: self._decode(number),
                    message if self._keep_input else None,
                )
            elif with_other_messages:
                yield message

    def _decode(self, number: int) -> DecodedImage:
        if number in self._bad:
            raise InputError(f"is no picture (number {number})")
        if number % 7 == 3:
            time.sleep(0.002)  # later than the next one
        color = (number % 251, number // 251, 9)
        return DecodedImage(np.full((HEIGHT, WIDTH, 3), color, np.uint8), None)

    def close(self) -> None:
        pass


class LinesSink:
    """Writes a line for each frame and message; a part is a file, the whole is `result`."""

    def __init__(self, path: Path, full_at: int = -1, is_cheap: bool = True) -> None:
        self.path = path
        self.finish_is_cheap = is_cheap
        self.finished = 0
        self._full_at = full_at
        self._lines: list[str] = []
        self._number = 0

    def begin_part(self, number: int) -> None:
        self._number = number
        self._lines = []
        (self.path / f"part{number}.open").write_text("")

    def encode(self, frame: RecordedFrame, prediction: Prediction) -> str:
        number = int(frame.name.rpartition("/")[2])
        if number % 5 == 1:
            time.sleep(0.002)  # later than the next one
        assert prediction.labels is not None
        color = prediction.image[0, 0]
        assert int(color[0]) + 251 * int(color[1]) == number, "another picture's prediction"
        label = int(prediction.labels[0, 0])
        return f"{frame.time} {frame.header.stamp} {frame.name} {label}"

    def write(self, frame: RecordedFrame, encoded: str) -> None:
        if int(frame.name.rpartition("/")[2]) == self._full_at:
            raise InputError(f"cannot write {self.path}: No space left on device")
        self._lines.append(encoded)

    def pass_on(self, message: PassedMessage) -> None:
        self._lines.append(f"{message.time} {message.topic} {message.data.decode()}")

    def end_part(self) -> dict[str, Any]:
        target = self.path / f"part{self._number}"
        (self.path / f"part{self._number}.open").unlink()
        aside = target.with_suffix(".aside")
        aside.write_text("".join(f"{line}\n" for line in self._lines))
        os.replace(aside, target)
        return {"file": target.name, "lines": len(self._lines)}

    def discard_part(self) -> None:
        (self.path / f"part{self._number}.open").unlink(missing_ok=True)

    def finish(self, parts: Sequence[dict[str, Any]]) -> None:
        self.finished += 1
        texts = [(self.path / part["file"]).read_text() for part in parts]
        assert [text.count("\n") for text in texts] == [part["lines"] for part in parts]
        aside = self.path / "result.aside"
        aside.write_text("".join(texts))
        os.replace(aside, self.path / "result")


class ColorBackend(Backend):
    """Labels are the picture's first color modulo 200; takes a given time, beside the CPU."""

    name = "double"
    device = "none"

    def __init__(
        self,
        seconds: float = 0.0,
        max_batch: int = 4,
        leaves_cpu_free: bool = True,
        lost_at: int = -1,
    ) -> None:
        self.card = tiny_card(max_batch=max_batch)
        self.output_names = ("labels", "depth", "normals")
        self.max_batch = max_batch
        self.leaves_cpu_free = leaves_cpu_free
        self.batches: list[int] = []
        self._seconds = seconds
        self._lost_at = lost_at
        self._free_at = 0.0
        self._runs = Runs(self.name)
        shape = (max_batch, HEIGHT, WIDTH)
        self._buffers = [
            {
                "labels": np.zeros(shape, np.uint8),
                "depth": np.zeros(shape, np.float32),
                "normals": np.zeros((*shape, 3), np.float32),
            }
            for _ in range(2)
        ]

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        check_images(self, images, wanted)
        if len(self.batches) == self._lost_at:
            raise BackendLostError("double: the device is gone; restart the machine")
        self.batches.append(len(images))
        outputs = self._buffers[self._runs.next_turn()]
        # One run after the other, as on a device.
        self._free_at = max(time.monotonic(), self._free_at) + self._seconds
        done_at = self._free_at
        if not self.leaves_cpu_free:
            time.sleep(max(0.0, done_at - time.monotonic()))

        def wait() -> dict[str, NDArray[Any]]:
            time.sleep(max(0.0, done_at - time.monotonic()))
            # Read here: who changes the images before has broken the promise.
            outputs["labels"][: len(images)] = images[..., 0] % 200
            outputs["depth"][: len(images)] = 1.0
            return {name: outputs[name][: len(images)] for name in wanted}

        return self._runs.begun(wait)

    def close(self) -> None:
        self._runs.close()


__all__ = ["BackendError", "ColorBackend", "LinesSink", "ListSource"]
