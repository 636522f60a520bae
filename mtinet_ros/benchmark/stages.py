# SPDX-License-Identifier: Apache-2.0
"""One backend, timed: `python -m mtinet_ros.benchmark.stages REQUEST` prints a result, both JSON.

A process per backend, so that its memory is its own and no runtime's threads disturb another's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.benchmark.ros_topics import RosTopics, open_ros_topics
from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import Backend, CpuSettings, EngineSettings, load_backend
from mtinet_ros.perception.predictor import Batch, Predictor

if TYPE_CHECKING:
    from mtinet_ros.inference.tensorrt_backend import TensorRtBackend

STAGES = ("decode", "preprocess", "h2d", "compute", "d2h", "postprocess", "publish")
_WARM_UP = 3


@dataclass(frozen=True)
class Request:
    """One measurement.

    Attributes:
        model: ONNX file.
        backend: Name of a backend, or `auto`.
        batch: Images per run.
        frames: Runs to time.
        camera_size: (height, width) of the camera images.
        device_id: CUDA device.
        engine_cache_dir: As for `EngineSettings`.
        cpu_precision: As for `CpuSettings`, like the next.
        cpu_threads: See there.
    """

    model: str
    backend: str
    batch: int
    frames: int
    camera_size: tuple[int, int]
    device_id: int
    engine_cache_dir: str
    cpu_precision: str = "auto"
    cpu_threads: int = 0


class Stopwatch:
    """Collects seconds by stage."""

    def __init__(self) -> None:
        """Start empty."""
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        begun = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - begun)

    def add(self, name: str, seconds: float) -> None:
        """Add a time that was taken elsewhere."""
        self.seconds.setdefault(name, []).append(seconds)


def measure(request: Request) -> dict[str, Any]:
    """Time one backend along a frame's way, in this process.

    Returns:
        `backend`, `device`, `precision`, `stages` (name -> p50, p90, p99 in milliseconds per
        batch), `images_per_second`, `peak_rss_mb`, and `device_memory_mb` where there is a GPU.

    Raises:
        MtinetError: The model or the backend cannot be used.
    """
    height, width = request.camera_size
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    with ExitStack() as stack:
        backend = load_backend(
            request.model,
            request.backend,
            request.batch,
            device_id=request.device_id,
            engine=EngineSettings(cache_dir=request.engine_cache_dir),
            cpu=CpuSettings(request.cpu_precision, request.cpu_threads),
        )
        stack.callback(backend.close)
        ros = stack.enter_context(open_ros_topics(backend.output_names))
        predictor = Predictor(backend)
        batch, count = predictor.new_batch(), min(request.batch, backend.max_batch)
        watch = Stopwatch()
        for index in range(_WARM_UP + request.frames):
            if index == _WARM_UP:
                watch.seconds.clear()
            _time_one(watch, predictor, batch, frame, count, ros)
        images = [frame] * count
        begun = time.perf_counter()
        for _ in range(request.frames):
            predictor.predict(images, [None] * count)
        rate = request.frames * count / (time.perf_counter() - begun)
        result = {
            "backend": backend.name,
            "device": backend.device,
            "precision": backend.precision,
            "batch": count,
            "stages": {name: _percentiles(times) for name, times in watch.seconds.items()},
            "images_per_second": round(rate, 2),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }
        if _is_on_gpu(backend):
            result["device_memory_mb"] = round(backend.device_memory_used() / 2**20, 1)
    return result


def _time_one(
    watch: Stopwatch,
    predictor: Predictor,
    batch: Batch,
    frame: NDArray[np.uint8],
    count: int,
    ros: RosTopics | None,
) -> None:
    """Time the node's work for one batch of `count` images."""
    backend = predictor.backend
    images = [frame] * count
    if ros is not None:
        message = ros.camera_message(frame)
        with watch.stage("decode"):
            images = [ros.decode(message) for _ in range(count)]
    batch.clear()
    with watch.stage("preprocess"):
        for image in images:
            predictor.preprocess(batch, image, None)
    if _is_on_gpu(backend):
        for name, seconds in backend.measure_stages(batch.images).items():
            watch.add(name, seconds)
        outputs = predictor.infer(batch, backend.output_names)
    else:
        with watch.stage("compute"):
            outputs = predictor.infer(batch, backend.output_names)
    with watch.stage("postprocess"):
        predictions = predictor.postprocess(batch, outputs)
    if ros is not None:
        with watch.stage("publish"):
            for prediction in predictions:
                ros.publish({name: getattr(prediction, name) for name in backend.output_names})


def _is_on_gpu(backend: Backend) -> TypeGuard[TensorRtBackend]:
    return backend.name.startswith("tensorrt")


def _percentiles(seconds: list[float]) -> dict[str, float]:
    values = np.percentile(seconds, (50, 90, 99)) * 1e3
    return dict(zip(("p50", "p90", "p99"), (round(float(v), 3) for v in values), strict=True))


def main() -> int:
    """Measure what the command line asks for and print it."""
    record = json.loads(sys.argv[1])
    record["camera_size"] = tuple(record["camera_size"])
    try:
        print(json.dumps(measure(Request(**record))))
    except MtinetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
