# SPDX-License-Identifier: Apache-2.0
"""Times a network and its exports side by side in one run, taking turns: fair on a busy machine.

    python benchmarks/compare_models.py model.onnx int8.onnx --pytorch weights.safetensors
    ... --document w18       # also writes the table into docs/performance.md, under that name

Contestants are PyTorch eager, and each model in each CPU backend, in float32 and, where the CPU
multiplies it, in bf16. The first contestant is the yardstick. Reported are medians of the time on
the clock and of the CPU time of all threads, and the medians over all rounds of their ratios to
the yardstick in the same round. On a busy machine the clock says little, the ratio of CPU times
most.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import CpuSettings, load_backend
from mtinet_ros.inference.cpu_precision import cpu_capabilities
from mtinet_ros.inference.cpu_settings import available_cpus
from mtinet_ros.model_card import read_model_card

Contestant = tuple[str, Callable[[], object]]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
_TITLES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


def onnx_contestants(
    path: Path, backend_name: str, images: np.ndarray, threads: int
) -> list[Contestant]:
    """An exported model with all its outputs, in each precision that the backend has for it."""
    precisions = ["f32"]
    if backend_name == "openvino" and "BF16" in cpu_capabilities():
        precisions.append("bf16")
    contestants: list[Contestant] = []
    for precision in precisions:
        settings = CpuSettings(precision, threads)
        backend = load_backend(path, backend_name, max_batch=len(images), cpu=settings)
        name = f"{path.stem} in {_TITLES[backend_name]}: {backend.precision}"
        contestants.append((name, lambda b=backend: b.infer(images, b.output_names)))  # type: ignore[misc]
    return contestants


def pytorch_contestant(weights: Path, images: np.ndarray, threads: int) -> Contestant:
    """The network as trained, eager, with the same work around it."""
    import torch

    from mtinet_ros.export.checkpoint_card import load_described
    from mtinet_ros.export.deploy_network import DeployNetwork

    torch.set_num_threads(threads)
    described = load_described(weights)
    network = DeployNetwork(described.network, convention=described.convention)
    pixels = torch.from_numpy(images)

    def run() -> None:
        with torch.inference_mode():
            network(pixels)

    return f"PyTorch {version('torch')}, eager, fp32", run


def take_turns(contestants: Sequence[Contestant], rounds: int) -> list[tuple[float, ...]]:
    """Per contestant: clock time [ms], times as fast, CPU time [ms], times less of that."""
    for _, run in contestants:
        run()
    seconds: list[list[list[float]]] = [[[], []] for _ in contestants]
    for _ in range(rounds):
        for (_, run), (clock, cpu) in zip(contestants, seconds, strict=True):
            start, cpu_start = time.perf_counter(), time.process_time()
            run()
            clock.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
    rows = []
    for of_one in seconds:
        row: list[float] = []
        for first, times in zip(seconds[0], of_one, strict=True):
            ratio = statistics.median(a / b for a, b in zip(first, times, strict=True))
            row += [statistics.median(times) * 1e3, ratio]
        rows.append(tuple(row))
    return rows


def as_table(contestants: Sequence[Contestant], rows: Sequence[tuple[float, ...]]) -> str:
    """Markdown, the numbers aligned for a terminal too."""
    width = max(len(name) for name, _ in contestants)
    lines = [f"| {'':{width}} | ms | × faster | CPU ms | × less |", "|---|---|---|---|---|"]
    for (name, _), (clock, faster, cpu, less) in zip(contestants, rows, strict=True):
        lines.append(
            f"| {name:{width}} | {clock:7.1f} | {faster:5.2f} | {cpu:7.1f} | {less:5.2f} |"
        )
    return "\n".join(lines)


def write_into_page(name: str, text: str) -> None:
    """Put a text between the marks of that name in docs/performance.md."""
    begin, end = f"<!-- compare_models {name} -->", f"<!-- /compare_models {name} -->"
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", page, re.DOTALL)
    if found is None:
        raise ConfigurationError(f"{PAGE} has no mark {begin}; put it and {end} there")
    page = page.replace(found[0], f"{begin}\n{text}\n{end}")
    PAGE.write_text(page, encoding="utf-8")


def machine() -> str:
    """The CPU and the libraries, for people."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    has = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni") if flag in flags]
    return (
        f"{cpu[1] if cpu else 'unknown CPU'} ({', '.join(has)}), {os.cpu_count()} CPUs, OpenVINO "
        f"{version('openvino')}, ONNX Runtime {version('onnxruntime')}"
    )


def main() -> None:
    """Parse, take turns, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--backends", nargs="+", default=["openvino", "onnxruntime"])
    parser.add_argument("--pytorch", type=Path, metavar="WEIGHTS", help="the yardstick")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each CPU available")
    parser.add_argument("--document", metavar="NAME", help="write docs/performance.md anew")
    arguments = parser.parse_args()
    height, width = read_model_card(arguments.models[0]).input_size
    images = np.random.default_rng(0).integers(
        0, 256, (arguments.batch, height, width, 3), dtype=np.uint8
    )
    threads = arguments.threads or available_cpus()
    contestants: list[Contestant] = []
    if arguments.pytorch is not None:
        contestants.append(pytorch_contestant(arguments.pytorch, images, threads))
    for path in arguments.models:
        for backend in arguments.backends:
            contestants += onnx_contestants(path, backend, images, threads)
    rows = take_turns(contestants, arguments.rounds)
    text = (
        f"{height}x{width}, batch {arguments.batch}, threads: {threads}, medians of "
        f"{arguments.rounds} rounds; {machine()}; {date.today()}\n\n{as_table(contestants, rows)}"
    )
    print(text)
    if arguments.document:
        write_into_page(arguments.document, text)


if __name__ == "__main__":
    main()
