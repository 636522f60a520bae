# SPDX-License-Identifier: Apache-2.0
"""One run of the network at a time against two under way: rate and latency of the node's pipeline.

python benchmarks/runs_under_way.py                         # beside a device that only sleeps
python benchmarks/runs_under_way.py MODEL.onnx tensorrt     # on a GPU

Scheduling, decoding, preprocessing, inference and postprocessing are the node's own, without
topics: pictures of 1280x720 pixels come in, and outputs are copied once. Both ways take turns.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError, MtinetError
from mtinet_ros.inference import Backend, EngineSettings, Outputs, Run, load_backend
from mtinet_ros.inference.backend import Runs
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import OUTPUTS, TASK_OUTPUTS
from mtinet_ros.node.frame_processor import Frame, FrameProcessor
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.node.scheduler import InferenceWorker, NewestFrames
from mtinet_ros.node.statistics import DropReason, StreamStatistics
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor

_WARM_UP = 1.0  # seconds


@dataclass(frozen=True)
class Scene:
    """Cameras before a network.

    Attributes:
        cameras: Their number; their frames are spread evenly over a period.
        rate: Of each, in Hz.
        base: Milliseconds that the sleeping device takes for a run.
        per_image: And for each image in it.
    """

    cameras: int
    rate: float
    base: float = 15.0
    per_image: float = 0.0

    def __str__(self) -> str:
        """For the table."""
        each = f" + {self.per_image:g}/image" if self.per_image else ""
        return f"{self.cameras} x {self.rate:g} Hz, {self.base:g}{each} ms"


ASLEEP = (
    Scene(1, 100.0),
    Scene(1, 30.0),
    Scene(1, 60.0, base=40.0),
    Scene(1, 250.0, base=5.0),
    Scene(4, 30.0, base=12.0, per_image=1.0),
    Scene(4, 30.0, base=40.0, per_image=5.0),
    Scene(4, 10.0, base=12.0, per_image=1.0),
)
REAL = (Scene(1, 1000.0), Scene(1, 30.0), Scene(4, 30.0), Scene(4, 250.0))


class SleepingDevice(Backend):
    """Takes runs one after another, as a GPU does, and computes nothing."""

    name, device, precision = "asleep", "none", ""
    max_batch = 4
    leaves_cpu_free = True
    # Seconds: queueing a run, and its copies to and from the device, which go beside the network.
    queueing, upload, download = 1e-4, 2e-4, 3e-4

    def __init__(self, scene: Scene) -> None:
        """Sleep as long as the scene says."""
        self.card = ModelCard(
            name="asleep",
            tasks=("semseg", "depth", "normals"),
            input_size=(256, 352),
            class_names=("thing",),
            palette=((255, 0, 0),),
        )
        self.output_names = tuple(TASK_OUTPUTS[task] for task in self.card.tasks)
        self._scene = scene
        self._runs = Runs(self.name)
        self._is_free_at = 0.0
        self._sets = [
            {
                name: np.ones((self.max_batch, *self.card.input_size, *spec.channels), spec.dtype)
                for name, spec in OUTPUTS.items()
                if name in self.output_names
            }
            for _ in range(2)
        ]

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`."""
        arrays = self._sets[self._runs.next_turn()]
        time.sleep(self.queueing)
        length = 1e-3 * (self._scene.base + self._scene.per_image * len(images))
        begins = max(self._is_free_at, time.monotonic() + self.upload)
        self._is_free_at = begins + length
        end = self._is_free_at + self.download
        count = len(images)

        def wait() -> Outputs:
            time.sleep(max(0.0, end - time.monotonic()))
            return {name: arrays[name][:count] for name in wanted}

        return self._runs.begun(wait)

    def close(self) -> None:
        """See `Backend.close`."""
        self._runs.close()


class TimedStream:
    """A camera whose messages are pictures, and that notes how old its answers are."""

    max_age = 0.0

    def __init__(self, name: str, wanted: Collection[str]) -> None:
        """Begin without answers; `wanted` are the outputs with subscribers."""
        self.name = name
        self.statistics = StreamStatistics()
        self.latencies: list[float] = []
        self._wanted = frozenset(wanted)

    def wanted_outputs(self) -> frozenset[str] | None:
        """See `FrameStream`."""
        return self._wanted

    def decode(self, frame: Frame) -> DecodedImage:
        """See `FrameStream`; as bgr8 is decoded."""
        image: Any = cv2.cvtColor(frame.message, cv2.COLOR_BGR2RGB)
        return DecodedImage(image, None)

    def publish(
        self, frame: Frame, decoded: DecodedImage, prediction: Prediction
    ) -> DropReason | None:
        """See `FrameStream`; copies the outputs as a publisher would."""
        for name in self._wanted:
            getattr(prediction, name).tobytes()
        self.latencies.append(time.monotonic() - frame.received)
        return None

    def report_too_old(self, frame: Frame) -> None:
        """See `FrameStream`."""

    def reject(self, error: InputError) -> None:
        """See `FrameStream`; nothing here is ever rejected."""
        raise error

    def report_defect(self, error: Exception) -> None:
        """See `FrameStream`."""
        raise error


class Owner:
    """Makes the steps of a loaded backend (`WorkerEvents`)."""

    def __init__(self, runs_at_once: int) -> None:
        """Allow so many runs under way, 1 or 2."""
        self._runs_at_once = runs_at_once
        self.settled = threading.Event()
        self.outputs: tuple[str, ...] = ()
        self.error: MtinetError | None = None

    def on_ready(self, backend: Backend) -> FrameProcessor:
        """See `WorkerEvents`."""
        steps = FrameProcessor(
            Predictor(backend),
            ProblemLog(logging.getLogger("runs_under_way")),  # type: ignore[arg-type]
            lambda: True,
            is_stopped=lambda: False,
            on_lost=self.on_failed,
            is_pipelined=True,
        )
        steps.runs_at_once = min(steps.runs_at_once, self._runs_at_once)
        self.outputs = backend.output_names
        self.settled.set()
        return steps

    def on_failed(self, error: MtinetError) -> None:
        """See `WorkerEvents`."""
        self.error = error
        self.settled.set()


def measure(
    load: Callable[[], Backend], scene: Scene, runs_at_once: int, seconds: float
) -> tuple[float, float, float]:
    """Frames answered per second; median and 90th percentile of latency in milliseconds."""
    frames: NewestFrames[Frame] = NewestFrames()
    owner = Owner(runs_at_once)
    worker = InferenceWorker(load, frames, owner)
    worker.start()
    owner.settled.wait()
    if owner.error is not None:
        raise owner.error
    streams = [TimedStream(f"camera{n}", owner.outputs) for n in range(scene.cameras)]
    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    period = 1.0 / (scene.rate * scene.cameras)
    begin = time.monotonic()
    counted_from = begin + _WARM_UP
    answered_before = [0] * scene.cameras
    for number in range(int((seconds + _WARM_UP) / period)):
        at = begin + number * period
        time.sleep(max(0.0, at - time.monotonic()))
        now = time.monotonic()
        if at < counted_from:
            answered_before = [len(stream.latencies) for stream in streams]
            started = now
        stream = streams[number % scene.cameras]
        frames.put(stream.name, Frame(stream, picture, now))
    took = time.monotonic() - started
    latencies = [
        latency
        for stream, before in zip(streams, answered_before, strict=True)
        for latency in stream.latencies[before:]
    ]
    worker.stop()
    p50, p90 = np.percentile(latencies, (50, 90)) * 1e3
    return len(latencies) / took, float(p50), float(p90)


def main(arguments: list[str]) -> int:
    """Measure and print a table of medians, and of ratios within rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("backend", nargs="?", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args(arguments)
    print(f"{'':<30}{'':>8}{'frames/s':>12}{'latency p50':>14}{'p90, ms':>10}")
    for scene in ASLEEP if given.model is None else REAL:

        def load(scene: Scene = scene) -> Backend:
            if given.model is None:
                return SleepingDevice(scene)
            # The engine that a node builds, whatever its number of cameras.
            engine = EngineSettings(largest_batch=8)
            return load_backend(given.model, given.backend, max_batch=scene.cameras, engine=engine)

        rounds: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
        for number in range(given.rounds):
            for runs in (1, 2) if number % 2 == 0 else (2, 1):
                try:
                    rounds[runs].append(measure(load, scene, runs, given.seconds))
                except MtinetError as error:
                    print(error)
                    return 1
        name = str(scene) if given.model is None else f"{scene.cameras} x {scene.rate:g} Hz"
        for runs, values in rounds.items():
            rate, p50, p90 = (statistics.median(column) for column in zip(*values, strict=True))
            print(f"{name:<30}{runs:>8}{rate:>12.1f}{p50:>14.2f}{p90:>10.2f}")
        pairs = zip(rounds[1], rounds[2], strict=True)
        ratios = zip(*([b / a for a, b in zip(*pair, strict=True)] for pair in pairs), strict=True)
        rate, p50, p90 = (statistics.median(column) for column in ratios)
        print(f"{name:<30}{'2 / 1':>8}{rate:>12.3f}{p50:>14.3f}{p90:>10.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
