# SPDX-License-Identifier: Apache-2.0
"""Backends for measuring: one that answers at once, and a stopwatch around any."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.node_speed.pictures import read_mark
from mtinet_ros.inference import Outputs
from mtinet_ros.inference.backend import Run, Runs, check_images
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import OUTPUTS, TASK_OUTPUTS

# Rows, as shares of the height, in which a null backend's outputs tell which frame they are of.
_BAND = (0.44, 0.56)


def code_of(number: int, counter: int) -> int:
    """What the outputs of a frame show of its mark: 7 bits."""
    return (number << 4 | counter & 15) & 127


class NullBackend:
    """Answers at once, or after a time, with the same room for every image.

    It has the outputs that the card tells of. A band across the middle tells the frame: labels
    (and confidence) hold `code_of` its mark, depth 1 m plus a 32nd of a metre times that, the
    normals' x that over 128.
    """

    name = "null"
    device = "nothing"
    precision = ""
    gains_by_batching = True

    def __init__(self, card: ModelCard, max_batch: int, inference_ms: float = 0.0) -> None:
        """Make the answers; `inference_ms` is how long each run pretends to take."""
        self.card = card
        self.max_batch = min(max_batch, card.max_batch)
        self.output_names = (
            *(name for task, name in TASK_OUTPUTS.items() if task in card.tasks),
            *(["confidence"] if card.has_confidence else []),
        )
        # Sleeping is what a CPU does while a GPU computes.
        self.leaves_cpu_free = inference_ms > 0.0
        self._seconds = inference_ms * 1e-3
        self._runs = Runs(self.name)
        self._sets = [self._room(), self._room()]
        height = card.input_size[0]
        self._band = slice(int(height * _BAND[0]), int(height * _BAND[1]))

    def _room(self) -> dict[str, NDArray[Any]]:
        height, width = self.card.input_size
        arrays = {
            name: np.zeros((self.max_batch, height, width, *OUTPUTS[name].channels), dtype)
            for name in self.output_names
            for dtype in (OUTPUTS[name].dtype,)
        }
        slope = np.linspace(4.0, 2.0, height, dtype=np.float32)
        for name, array in arrays.items():
            if name == "depth":
                array[...] = slope[:, np.newaxis]
            elif name == "normals":
                array[...] = (0.0, 0.0, -1.0)
        return arrays

    def new_images(self) -> NDArray[np.uint8]:
        """See `Backend.new_images`."""
        return np.empty((self.max_batch, *self.card.input_size, 3), np.uint8)

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`."""
        check_images(self, images, wanted)
        done = time.perf_counter() + self._seconds
        arrays = self._sets[self._runs.next_turn()]
        for slot, image in enumerate(images):
            code = code_of(*read_mark(image))
            for name in wanted:
                self._write(name, arrays[name][slot, self._band], code)
        outputs = {name: arrays[name][: len(images)] for name in wanted}
        return self._runs.begun(lambda: _when(done, outputs))

    def _write(self, name: str, band: NDArray[Any], code: int) -> None:
        if name == "depth":
            band[...] = 1.0 + code / 32.0
        elif name == "normals":
            band[..., 0] = code / 128.0
            band[..., 2] = -np.sqrt(1.0 - (code / 128.0) ** 2)
        else:
            band[...] = code

    def infer(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Outputs:
        """See `Backend.infer`."""
        return self.begin(images, wanted).outputs()

    def close(self) -> None:
        """See `Backend.close`."""
        self._runs.close()


def _when(done: float, outputs: Outputs) -> Outputs:
    """The outputs, at a time of the performance counter."""
    rest = done - time.perf_counter()
    if rest > 0.0:
        time.sleep(rest)
    return outputs


class TimedBackend:
    """Any backend, with a line in a file for each run: begin and end, and the frames' marks.

    Times are nanoseconds of the system's clock, as stamps are. A frame is `camera:counter`.
    """

    def __init__(self, backend: Any, path: Path) -> None:
        """Time `backend`, adding lines to `path`."""
        self._backend = backend
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __getattr__(self, name: str) -> Any:
        """All that is not timed is the backend's own."""
        return getattr(self._backend, name)

    def infer(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Outputs:
        """See `Backend.infer`."""
        begun = time.time_ns()
        outputs: Outputs = self._backend.infer(images, wanted)
        self._record(begun, images)
        return outputs

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`."""
        begun = time.time_ns()
        run: Run = self._backend.begin(images, wanted)

        def wait() -> Outputs:
            outputs = run.outputs()
            self._record(begun, images)
            return outputs

        return Run(wait)

    def _record(self, begun: int, images: NDArray[np.uint8]) -> None:
        """Write the line of a run that has just ended."""
        ended = time.time_ns()
        marks = " ".join("{}:{}".format(*read_mark(image)) for image in images)
        os.write(self._file, f"{begun} {ended} {marks}\n".encode())
