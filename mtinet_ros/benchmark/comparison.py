# SPDX-License-Identifier: Apache-2.0
"""Results side by side: as a table, as JSON, as a picture. What was not measured says how to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros import __version__
from mtinet_ros.benchmark.stages import STAGES, Request
from mtinet_ros.model_card import ModelCard

_NOT_MEASURED = "not measured"
# One colour per stage, RGB, told apart by people who see red and green alike (Okabe & Ito 2008).
_COLORS = (
    (0, 114, 178),
    (86, 180, 233),
    (240, 228, 66),
    (213, 94, 0),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
)


@dataclass(frozen=True)
class Comparison:
    """Measurements of one model on one machine.

    Attributes:
        model: Name, precision (`unknown` of a graph that was changed) and input size.
        machine: Processor, cores, load and versions, to read the numbers by.
        request: Batch, frames and camera size.
        results: One per backend, as `stages.measure` returns them; those that could not run have
            `not_measured` with the reason.
    """

    model: dict[str, Any]
    machine: dict[str, Any]
    request: dict[str, Any]
    results: Sequence[dict[str, Any]]

    def to_json(self) -> str:
        """The whole as JSON."""
        return json.dumps(asdict(self), indent=2)


def compare(requests: Sequence[Request], card: ModelCard) -> Comparison:
    """Time several backends on one model, one after the other."""
    first = requests[0]
    machine = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "mtinet_ros": __version__,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    results = [_measure_in_child(request) for request in requests]
    return Comparison(
        {
            "name": card.name,
            "precision": card.stated_precision,
            "input_size": list(card.input_size),
        },
        machine,
        {
            "model": first.model,
            "batch": first.batch,
            "frames": first.frames,
            "camera_size": list(first.camera_size),
        },
        results,
    )


def format_table(comparison: Comparison) -> str:
    """The results for a terminal: milliseconds per batch, p50 / p90 / p99."""
    model, machine, request = comparison.model, comparison.machine, comparison.request
    height, width = model["input_size"]
    camera_height, camera_width = request["camera_size"]
    lines = [
        f"{model['name']} {model['precision']} {width}x{height}, camera "
        f"{camera_width}x{camera_height}, batch {request['batch']}, {request['frames']} runs",
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} before",
        "milliseconds per batch: p50 / p90 / p99",
        "",
    ]
    results = comparison.results
    rows = [["", *(result["backend"] for result in results)]]
    for stage in STAGES:
        rows.append([stage, *(_stage_cell(result, stage) for result in results)])
    rows.append(["precision", *(_cell(result, "precision") for result in results)])
    rows.append(["images/s", *(_cell(result, "images_per_second") for result in results)])
    rows.append(["peak RSS MB", *(_cell(result, "peak_rss_mb") for result in results)])
    rows.append(["GPU MB in use", *(_cell(result, "device_memory_mb") for result in results)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    notes = [
        f"{result['backend']}: {result['not_measured']}"
        for result in results
        if "not_measured" in result
    ]
    if any(_cell(result, "device_memory_mb") == _NOT_MEASURED for result in results):
        notes.append(
            "h2d, d2h and GPU memory are of a GPU: on a machine with one, "
            f"`mtinet benchmark {request['model']} --backend tensorrt` (or tensorrt_rtx)"
        )
    if any("decode" not in result.get("stages", {"decode": 0}) for result in results):
        notes.append("decode and publish need ROS: source it, or pip install 'mtinet_ros[ros]'")
    return "\n".join([*lines, "", *(f"{_NOT_MEASURED}: {note}" for note in notes)]).rstrip()


def draw_plot(comparison: Comparison) -> NDArray[np.uint8]:
    """Bars of the stages' medians, one per backend; uint8 [h,w,3] RGB."""
    measured = [result for result in comparison.results if "stages" in result]
    width, left, row, top = 960, 150, 56, 70
    image = np.full((top + row * max(len(measured), 1) + 60, width, 3), 255, np.uint8)
    model = comparison.model
    _write(image, f"{model['name']} {model['precision']}: median ms per batch", (16, 34), 0.7)
    totals = [sum(times["p50"] for times in result["stages"].values()) for result in measured]
    longest = max(totals, default=1.0)
    for index, (result, total) in enumerate(zip(measured, totals, strict=True)):
        y = top + index * row
        _write(image, result["backend"], (16, y + 26), 0.5)
        x = float(left)
        for color, stage in zip(_COLORS, STAGES, strict=True):
            length = result["stages"].get(stage, {"p50": 0.0})["p50"] / longest * (width - 250)
            corner = (round(x + length), y + 36)
            cv2.rectangle(image, (round(x), y + 6), corner, color, cv2.FILLED)
            x += length
        _write(image, f"{total:.1f}", (round(x) + 8, y + 26), 0.5)
    y = image.shape[0] - 24
    for index, (color, stage) in enumerate(zip(_COLORS, STAGES, strict=True)):
        x0 = 16 + index * 132
        cv2.rectangle(image, (x0, y - 12), (x0 + 14, y + 2), color, cv2.FILLED)
        _write(image, stage, (x0 + 20, y), 0.5)
    return image


def _measure_in_child(request: Request) -> dict[str, Any]:
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    child = subprocess.run(
        [sys.executable, "-m", "mtinet_ros.benchmark.stages", json.dumps(asdict(request))],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if child.returncode == 0:
        result: dict[str, Any] = json.loads(child.stdout.strip().splitlines()[-1])
        return result
    words = child.stderr.strip().splitlines()
    reason = words[-1] if words else f"the process ended with status {child.returncode}"
    return {"backend": request.backend, "not_measured": reason}


def _stage_cell(result: dict[str, Any], stage: str) -> str:
    times = result.get("stages", {}).get(stage)
    if times is None:
        return _NOT_MEASURED
    return " / ".join(f"{times[key]:.1f}" for key in ("p50", "p90", "p99"))


def _cell(result: dict[str, Any], key: str) -> str:
    return str(result.get(key, _NOT_MEASURED))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _write(image: NDArray[np.uint8], text: str, origin: tuple[int, int], scale: float) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 40, 40), 1, cv2.LINE_AA)
