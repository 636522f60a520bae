# SPDX-License-Identifier: Apache-2.0
"""Measures what each switch gains: images per second, in turns with the default.

python -m gpu.switches MODEL.onnx BACKEND [--batch 2] [--frames 200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import EngineSettings, load_backend
from mtinet_ros.inference.gpu_settings import GpuSettings

DEFAULT = "default"


@dataclass(frozen=True)
class Variant:
    """One way to build and run an engine."""

    gpu: GpuSettings = field(default_factory=GpuSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)


def variants(batch: int) -> dict[str, Variant]:
    """The default, and what differs from it in one switch; its engine lies in a folder apart."""
    folder = EngineSettings().folder
    profiles = EngineSettings(str(folder / "second_batch"), second_batch=batch)
    searched = EngineSettings(str(folder / "optimization_level"), optimization_level=5)
    return {
        DEFAULT: Variant(),
        "images not page-locked": Variant(GpuSettings(pinned_images=False)),
        "one run at a time": Variant(GpuSettings(two_runs=False)),
        "uploads before the network": Variant(GpuSettings(overlapped_uploads=False)),
        "downloads before the next network": Variant(GpuSettings(overlapped_downloads=False)),
        "both, on one stream": Variant(
            GpuSettings(overlapped_uploads=False, overlapped_downloads=False)
        ),
        "no CUDA graphs": Variant(GpuSettings(cuda_graphs=False)),
        "mapped memory": Variant(GpuSettings(mapped_memory=True)),
        "copied memory": Variant(GpuSettings(mapped_memory=False)),
        f"a second profile for batch {batch}": Variant(engine=profiles),
        "optimization level 5": Variant(engine=searched),
    }


def measure(model: Path, name: str, variant: Variant, batch: int, frames: int) -> float:
    """Images per second, with two runs under way."""
    backend = load_backend(model, name, gpu=variant.gpu, engine=variant.engine)
    try:
        count = min(batch, backend.max_batch)
        buffers = [backend.new_images()[:count] for _ in range(2)]
        random = np.random.default_rng(0)
        for buffer in buffers:
            buffer[...] = random.integers(0, 256, buffer.shape, np.uint8)
        for _ in range(5):
            backend.infer(buffers[0], backend.output_names)
        begun = time.perf_counter()
        run = backend.begin(buffers[0], backend.output_names)
        for index in range(1, frames):
            following = backend.begin(buffers[index % 2], backend.output_names)
            run.outputs()
            run = following
        run.outputs()
        return frames * count / (time.perf_counter() - begun)
    finally:
        backend.close()


def main(arguments: list[str]) -> int:
    """Measure and print a table; 1 if some variant failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("backend")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    rates: dict[str, list[float]] = {name: [] for name in variants(given.batch)}
    problems: dict[str, str] = {}
    for _ in range(given.rounds):
        for name, variant in variants(given.batch).items():
            if name in problems:
                continue
            try:
                rate = measure(given.model, given.backend, variant, given.batch, given.frames)
            except MtinetError as error:
                problems[name] = str(error)
            else:
                rates[name].append(rate)
                print(f"{name}: {rate:.1f}", flush=True)
    print(f"\n{'':<34}{'images/s':>10}{'of default':>12}  (medians of {given.rounds} rounds)")
    for name, measured in rates.items():
        if name in problems or DEFAULT in problems:
            print(f"{name:<34}{problems.get(name, 'the default failed')}")
            continue
        ratios = [one / other for one, other in zip(measured, rates[DEFAULT], strict=True)]
        rate, ratio = statistics.median(measured), statistics.median(ratios)
        print(f"{name:<34}{rate:>10.1f}{ratio:>12.3f}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
