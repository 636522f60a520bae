# SPDX-License-Identifier: Apache-2.0
"""Which share of a network's own rate `mtinet process` reaches, with reading and writing.

    python benchmarks/offline.py --sleep 15
    python benchmarks/offline.py --backend openvino --frames 240

A bag of 640x480 images is processed into a bag, or what --format says. In turn with that, the
network alone runs as many batches of the same size as fast as it can, on pictures that lie ready.
Reported are medians over rounds of frames per second, of the ratio within a round, and of CPU
time a frame: where the network needs the CPU itself, its share is what the ratio can be at best.
--sleep MS takes a network that sleeps so long an image, as the CPU does while a GPU computes, one
batch after the other; --sleep 0 tells what everything but the network takes. Files lie in
TMPDIR, e.g. TMPDIR=/dev/shm where the disk is not to be measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.image_files import read_image
from mtinet_ros.inference import Backend, Run, load_backend
from mtinet_ros.inference.backend import Runs, check_images
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.model_card import ModelCard, read_model_card
from mtinet_ros.model_contract import OUTPUTS, TASK_OUTPUTS
from mtinet_ros.offline.outputs import OutputOptions, open_sink, wanted_of_model
from mtinet_ros.offline.run import RunSettings, Target, process_recording
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.recordings.open import open_source

ROOT = Path(__file__).resolve().parents[1]
SIZE = (640, 480)


class SleepingBackend(Backend):
    """Takes a time for each image and leaves the CPU free; one run after the other."""

    name = "sleeping"
    device = "nothing"
    leaves_cpu_free = True

    def __init__(self, card: ModelCard, max_batch: int, milliseconds: float) -> None:
        """Prepare outputs for `max_batch` images."""
        self.card = card
        self.max_batch = max_batch
        names = tuple(TASK_OUTPUTS[task] for task in card.tasks)
        self.output_names = (*names, "confidence") if card.has_confidence else names
        self._seconds = milliseconds * 1e-3
        self._free_at = 0.0
        self._runs = Runs(self.name)
        self._buffers = [self._outputs(), self._outputs()]

    def _outputs(self) -> dict[str, NDArray[Any]]:
        shape = (self.max_batch, *self.card.input_size)
        random = np.random.default_rng(1)
        found = {}
        for name in self.output_names:
            spec = OUTPUTS[name]
            values = random.uniform(0.6, 6.0, (*shape, *spec.channels))
            found[name] = values.astype(spec.dtype)
        return found

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`."""
        check_images(self, images, wanted)
        outputs = self._buffers[self._runs.next_turn()]
        self._free_at = max(time.perf_counter(), self._free_at) + self._seconds * len(images)
        until = self._free_at

        def wait() -> dict[str, NDArray[Any]]:
            time.sleep(max(0.0, until - time.perf_counter()))
            return {name: outputs[name][: len(images)] for name in wanted}

        return self._runs.begun(wait)

    def close(self) -> None:
        """See `Backend.close`."""
        self._runs.close()


def write_bag(folder: Path, frames: int) -> None:
    """A bag of raw images of one camera that pans over a picture, at 30 Hz, with its lens."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    width, height = SIZE
    wide = cv2.resize(read_image(ROOT / "demo/pictures/office_desk.jpg"), (2 * width, height))
    lens = {
        "height": height,
        "width": width,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": np.array([525.0, 0, 319.5, 0, 525.0, 239.5, 0, 0, 1]),
        "r": np.eye(3).ravel(),
        "p": np.array([525.0, 0, 319.5, 0, 0, 525.0, 239.5, 0, 0, 0, 1, 0]),
        "binning_x": 0,
        "binning_y": 0,
        "roi": types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    }
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            kind: writer.add_connection(
                f"/camera/{topic}", f"sensor_msgs/msg/{kind}", typestore=store
            )
            for kind, topic in (("CameraInfo", "camera_info"), ("Image", "image_raw"))
        }
        for number in range(frames):
            stamp = 1_700_000_000_000_000_000 + number * 33_333_333
            parts = types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
            header = types["std_msgs/msg/Header"](parts, "camera_optical_frame")
            left = 2 * number % width
            pixels = np.ascontiguousarray(wide[:, left : left + width]).ravel()
            messages = {
                "CameraInfo": types["sensor_msgs/msg/CameraInfo"](header, **lens),
                "Image": types["sensor_msgs/msg/Image"](
                    header, height, width, "rgb8", 0, 3 * width, pixels
                ),
            }
            for kind, message in messages.items():
                data = store.serialize_cdr(message, f"sensor_msgs/msg/{kind}")
                writer.write(topics[kind], stamp, data)


def rate_of_network(backend: Backend, wanted: Collection[str], frames: int) -> tuple[float, float]:
    """Images per second of the network alone, in the batches that processing uses.

    Returns:
        The rate, and CPU seconds an image of this process.
    """
    size = backend.max_batch if backend.gains_by_batching else 1
    images = backend.new_images()
    images[:] = 128
    begun, cpu = time.perf_counter(), time.process_time()
    under_way: list[Run] = []
    for _ in range(frames // size):
        under_way.append(backend.begin(images[:size], wanted))
        if len(under_way) == (2 if backend.leaves_cpu_free else 1):
            under_way.pop(0).outputs()
    for run in under_way:
        run.outputs()
    count = frames // size * size
    return count / (time.perf_counter() - begun), (time.process_time() - cpu) / count


def rate_of_processing(
    backend: Backend, bag: Path, output: Path, options: OutputOptions, wanted: Collection[str]
) -> tuple[float, float]:
    """Frames per second from bag to output, and CPU seconds a frame of this process."""
    source = open_source(bag)
    begun, cpu = time.perf_counter(), time.process_time()
    outcome = process_recording(
        source,
        lambda: open_sink(output, backend.card, options),
        Predictor(backend),
        Target("bag", output, options.is_file),
        RunSettings(wanted),
        {},
    )
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    source.close()
    assert outcome.is_complete
    return outcome.tally.frames / seconds, cpu / outcome.tally.frames


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sleep", type=float, metavar="MS", help="instead of a backend")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--model", type=Path, default=bundled_model())
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", choices=("bag", "folder", "video"), default="bag")
    parser.add_argument("--outputs", default="segmentation,overlay,depth,normals")
    arguments = parser.parse_args()
    options = OutputOptions(arguments.format, tuple(arguments.outputs.split(",")))
    card = read_model_card(arguments.model)
    wanted = wanted_of_model(card, options)
    backend: Backend
    if arguments.sleep is None:
        backend = load_backend(arguments.model, arguments.backend, arguments.max_batch)
    else:
        backend = SleepingBackend(card, arguments.max_batch, arguments.sleep)
    rounds = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        bag = Path(folder, "bag")
        write_bag(bag, arguments.frames)
        rate_of_network(backend, wanted, 2 * backend.max_batch)  # warm
        for number in range(arguments.rounds):
            alone, cpu_alone = rate_of_network(backend, wanted, arguments.frames)
            name = f"out{number}" + (".mp4" if options.is_file else "")
            whole, cpu = rate_of_processing(backend, bag, Path(folder, name), options, wanted)
            shutil.rmtree(Path(folder, name), ignore_errors=True)
            rounds.append((alone, whole, whole / alone, cpu, cpu_alone / cpu))
            print(
                f"round {number + 1}: network {alone:.1f}/s, processing {whole:.1f}/s, "
                f"{whole / alone:.3f}; {cpu * 1e3:.1f} ms CPU a frame, {cpu_alone / cpu:.3f} of "
                "it the network's",
                flush=True,
            )
    backend.close()
    alone, whole, ratio, cpu, share = (
        statistics.median(column) for column in zip(*rounds, strict=True)
    )
    print(
        f"{backend.name}, {arguments.format} of {arguments.outputs}: network {alone:.1f} "
        f"frames/s, processing {whole:.1f}, ratio {ratio:.3f}; {cpu * 1e3:.1f} ms CPU a frame, "
        f"{share:.3f} of it the network's"
    )


if __name__ == "__main__":
    main()
