# SPDX-License-Identifier: Apache-2.0
"""Times models side by side in one run, taking turns, so that a busy machine is fair to all.

    python benchmarks/compare_models.py plain.onnx rewritten.onnx --backends openvino onnxruntime
    python benchmarks/compare_models.py model.onnx --pytorch weights.safetensors

The first contestant is the yardstick. Reported are medians of the time on the clock and of the CPU
time of all threads, and the medians over all rounds of their ratios to the yardstick in the same
round. On a busy machine the clock says little, the ratio of CPU times most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtinet_ros.inference import load_backend
from mtinet_ros.model_card import read_model_card

Contestant = tuple[str, Callable[[], object]]


def onnx_contestant(path: Path, backend_name: str, images: np.ndarray) -> Contestant:
    """An exported model with all its outputs."""
    backend = load_backend(path, backend_name, max_batch=len(images))
    return f"{path.name} {backend_name}", lambda: backend.infer(images, backend.output_names)


def pytorch_contestant(weights: Path, images: np.ndarray) -> Contestant:
    """The network as trained, eager, with the same work around it."""
    import torch

    from mtinet_ros.export.deploy_network import DeployNetwork
    from mtinet_ros.network import load_checkpoint

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = DeployNetwork(load_checkpoint(weights))
    pixels = torch.from_numpy(images)

    def run() -> None:
        with torch.inference_mode():
            network(pixels)

    return f"{weights.name} pytorch eager", run


def main() -> None:
    """Parse, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--backends", nargs="+", default=["openvino", "onnxruntime"])
    parser.add_argument("--pytorch", type=Path, metavar="WEIGHTS", help="the yardstick")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    height, width = read_model_card(arguments.models[0]).input_size
    images = np.random.default_rng(0).integers(
        0, 256, (arguments.batch, height, width, 3), dtype=np.uint8
    )
    contestants = []
    if arguments.pytorch is not None:
        contestants.append(pytorch_contestant(arguments.pytorch, images))
    for backend in arguments.backends:
        contestants += [onnx_contestant(path, backend, images) for path in arguments.models]
    for _, run in contestants:
        run()
    clock: list[list[float]] = [[] for _ in contestants]
    cpu: list[list[float]] = [[] for _ in contestants]
    for _ in range(arguments.rounds):
        for index, (_, run) in enumerate(contestants):
            start, cpu_start = time.perf_counter(), time.process_time()
            run()
            clock[index].append(time.perf_counter() - start)
            cpu[index].append(time.process_time() - cpu_start)
    print(f"{height}x{width}, batch {arguments.batch}, {arguments.rounds} rounds")
    print(f"{'':44} {'clock ms':>9} {'x faster':>9} {'CPU ms':>9} {'x less':>9} {'least':>9}")
    for index, (name, _) in enumerate(contestants):
        columns = []
        for seconds in (clock, cpu):
            ratio = statistics.median(
                a / b for a, b in zip(seconds[0], seconds[index], strict=True)
            )
            columns.append(f"{statistics.median(seconds[index]) * 1e3:9.1f} {ratio:9.2f}")
        print(f"{name:44} {' '.join(columns)} {min(cpu[index]) * 1e3:9.1f}")


if __name__ == "__main__":
    main()
