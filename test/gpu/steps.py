# SPDX-License-Identifier: Apache-2.0
"""The steps of docs/verification.md: what each runs, and what it needs to mean anything."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

EDITIONS = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        key: For `--only`.
        title: As in the document.
        command: What runs.
        needs: Probes without which it is not supported here, see `probe.py`.
        variables: Environment variables of its own.
        judge: Given the exit status, says what is wrong; empty if it passed.
        tests: Report of pytest to count by: all skipped is not passed.
    """

    key: str
    title: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    judge: Callable[[int], str] = lambda status: f"it ended with {status}" if status else ""
    tests: Path | None = None


def steps(python: Path, model: Path, folder: Path) -> list[Step]:
    """All steps, in order.

    Args:
        python: Interpreter of the environment.
        model: ONNX file.
        folder: Of results.
    """
    mtinet = (str(python), "-m", "mtinet_ros.cli.main")
    cache = ("--engine-cache-dir", str(folder / "cache" / "mtinet_ros"))
    benchmark = (*mtinet, "benchmark", str(model), "--frames", "200", *cache)

    def pytest(
        key: str, title: str, *arguments: str, needs: tuple[str, ...], edition: str = ""
    ) -> Step:
        results = folder / f"{key}.xml"
        command = (str(python), "-m", "pytest", "-q", "-rs", f"--junitxml={results}", *arguments)
        variables = {"MTINET_GPU_BACKEND": edition}
        return Step(key, title, command, needs, variables, tests=results)

    found = [
        Step("gpu", "The GPU and its driver", (sys.executable, "-m", "gpu.machine"), ("gpu",)),
        Step("doctor", "What mtinet doctor says", (*mtinet, "doctor")),
        pytest("cuda", "CUDA without TensorRT", "test/gpu/test_cuda_alone.py", needs=("cuda",)),
        pytest(
            "fitting",
            "The kernel that fits images",
            "test/gpu/test_fitting.py",
            needs=("cuda", "nvrtc"),
        ),
        Step(
            "fitting_gain",
            "What it gains to fit images on the GPU",
            (str(python), "-m", "gpu.fitting"),
            ("cuda", "nvrtc"),
        ),
        pytest(
            "torch", "PyTorch beside it", "test/gpu/test_torch_beside.py", needs=("cuda", "torch")
        ),
    ]
    for name, title in EDITIONS.items():
        needs = ("cuda", name)
        found += [
            Step(
                f"engine_{name}",
                f"An engine of {title}",
                (*mtinet, "build", str(model), *cache, "--backend", name),
                needs,
            ),
            pytest(
                f"conformance_{name}",
                f"The conformance suite on {title}",
                "test/inference/test_conformance.py",
                needs=needs,
                edition=name,
            ),
            pytest(
                f"frames_{name}",
                f"Memory, threads, neighbors of {title}",
                "test/gpu/test_real_gpu.py",
                needs=needs,
                edition=name,
            ),
            Step(f"speed_{name}", f"Speed of {title}", (*benchmark, "--backend", name), needs),
            Step(
                f"switches_{name}",
                f"What each switch gains on {title}",
                (str(python), "-m", "gpu.switches", str(model), name),
                needs,
            ),
            Step(
                f"runs_{name}",
                f"The node's pipeline with one run and with two under way on {title}",
                (str(python), "benchmarks/runs_under_way.py", str(model), name),
                needs,
            ),
        ]
    return [
        *found,
        Step(
            "compare",
            "Speed side by side",
            (*benchmark, "--compare", "-o", str(folder / "compare")),
            ("cuda", "tensorrt|tensorrt_rtx"),
            judge=lambda status: _judge_comparison(status, folder / "compare" / "benchmark.json"),
        ),
        Step(
            "train",
            "Training for a minute, and resuming",
            (str(python), "-m", "gpu.train_a_minute", str(folder / "train")),
            ("train",),
        ),
        Step(
            "train_two",
            "The same on two GPUs, compiled",
            (
                *(str(python), "-m", "gpu.train_a_minute", str(folder / "train"), "--minutes=2"),
                *("--devices=2", "--set=run.compile=on", "--set=run.sync_batch_norm=true"),
            ),
            ("two_gpus",),
        ),
        Step(
            "train_ways",
            "What precision, memory layout and compiling gain",
            (
                *(str(python), "benchmarks/training_step.py", "config/train/rooms.yaml"),
                *("--set", "network.initial=random", "--device", "cuda", "--ways", "float32"),
                *("bfloat16", "bfloat16+contiguous", "float32+compile", "bfloat16+compile"),
            ),
            ("train",),
        ),
    ]


def _judge_comparison(status: int, file: Path) -> str:
    """Side by side means that a GPU was among the measured."""
    if status:
        return f"it ended with {status}"
    results = json.loads(file.read_text())["results"]
    measured = [result["backend"] for result in results if "stages" in result]
    if not any(backend in EDITIONS for backend in measured):
        return f"no TensorRT was measured, only {', '.join(measured) or 'nothing'}"
    return ""


def count_tests(file: Path) -> tuple[int, list[str]]:
    """Tests of pytest's report that ran, and why others did not."""
    ran, reasons = 0, []
    for case in ElementTree.parse(file).iter("testcase"):
        skipped = case.find("skipped")
        if skipped is None:
            ran += 1
        else:
            reasons.append(skipped.get("message", ""))
    return ran, sorted(set(reasons))
