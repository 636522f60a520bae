# SPDX-License-Identifier: Apache-2.0
"""Runs every step of docs/verification.md on a machine with a GPU and writes a report.

    python test/gpu/verify.py MODEL.onnx FOLDER

The report is FOLDER/report.md; the exit status is the number of steps that failed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PYTEST = [sys.executable, "-m", "pytest", "-q", "-rs"]
MTINET = [sys.executable, "-m", "mtinet_ros.cli.main"]


def steps(model: Path, folder: Path) -> dict[str, list[str]]:
    """Title, as in the document -> command."""
    cache = ["--engine-cache-dir", str(folder / "engines")]
    build = [*MTINET, "build", str(model), *cache]
    benchmark = [*MTINET, "benchmark", str(model), "--frames", "200", *cache]
    return {
        "The GPU and its driver": ["nvidia-smi"],
        "An engine of TensorRT": [*build, "--backend", "tensorrt"],
        "An engine of TensorRT for RTX": [*build, "--backend", "tensorrt_rtx"],
        "The conformance suite on the GPU": [*PYTEST, "test/inference/test_conformance.py"],
        "Memory, threads, neighbours": [*PYTEST, "test/gpu"],
        "Speed of TensorRT": [*benchmark, "--backend", "tensorrt"],
        "Speed of TensorRT for RTX": [*benchmark, "--backend", "tensorrt_rtx"],
        "Speed side by side": [*benchmark, "--compare", "-o", str(folder)],
    }


def main() -> int:
    """Run them all, whatever fails."""
    model, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "MTINET_GPU_MODEL": str(model),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    sections, failed = [], 0
    for title, command in steps(model, folder).items():
        print(f"== {title}", flush=True)
        begun = time.monotonic()
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                check=False,
            )
            output, good = done.stdout, done.returncode == 0
        except OSError as error:
            output, good = str(error), False
        failed += not good
        verdict = "passed" if good else "FAILED"
        print(output.strip(), f"\n-- {verdict}", flush=True)
        sections.append(
            f"## {title}: {verdict}\n\n`{' '.join(command)}`, "
            f"{time.monotonic() - begun:.1f} s\n\n```\n{output.strip()}\n```\n"
        )
    head = (
        f"# Verification on a GPU\n\n{platform.platform()}, Python {platform.python_version()}, "
    )
    head += f"{time.strftime('%Y-%m-%d %H:%M %Z')}. {failed} of {len(sections)} steps failed.\n\n"
    (folder / "report.md").write_text(head + "\n".join(sections))
    print(f"report: {folder / 'report.md'}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
