# SPDX-License-Identifier: Apache-2.0
"""Half an hour under load: does the node's memory grow, does its latency? `make soak`.

    python -m benchmarks.node_speed.soak --minutes 30 -o build/bench

Two cameras show more than the network can answer, so that frames come, wait, are replaced and are
answered all the time. Every answer is checked. The verdict follows from the series' slopes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domain_coordinator import domain_id

from benchmarks.node_speed.answers import judge_null, match
from benchmarks.node_speed.child_processes import end_like_an_interruption, footprint
from benchmarks.node_speed.expectations import picture_judge
from benchmarks.node_speed.machine import describe_machine
from benchmarks.node_speed.measurements import VGA
from benchmarks.node_speed.summary import percentiles, slope
from benchmarks.node_speed.world import IMAGES, Contestant, MeasurementError, World
from mtinet_ros.install_paths import bundled_model, find_model
from mtinet_ros.model_card import read_model_card
from mtinet_ros.output_files import replace_file

CAMERAS = 2
_WARM_UP = 0.1  # share of the time in which caches fill and allocators settle
# What counts as flat over the whole run, beyond which a slope is a finding.
_MEMORY_SHARE, _MEMORY_MIB = 0.02, 8.0
_LATENCY_SHARE = 0.1

Sample = Mapping[str, float]


def verdict(samples: Sequence[Sample]) -> dict[str, Any]:
    """What the series say.

    Args:
        samples: In the order of time; each with `minute`, `rss_mib`, `files`, `threads` and
            `latency_p50`.

    Returns:
        `flat`, and by series its growth over the run as its slope says, and what is allowed.
    """
    if not samples:
        return {"flat": False, "why": "nothing was measured"}
    first = samples[-1]["minute"] * _WARM_UP
    later = [sample for sample in samples if sample["minute"] >= first]
    minutes = [sample["minute"] for sample in later]
    duration = minutes[-1] - minutes[0]
    result: dict[str, Any] = {"flat": True, "samples": len(later), "minutes": round(duration, 1)}
    middle = {
        name: sorted(sample[name] for sample in later)[len(later) // 2]
        for name in ("rss_mib", "latency_p50")
    }
    allowed = {
        "rss_mib": max(_MEMORY_MIB, _MEMORY_SHARE * middle["rss_mib"]),
        "files": 0.5,
        "threads": 0.5,
        "latency_p50": _LATENCY_SHARE * middle["latency_p50"],
    }
    for name, limit in allowed.items():
        growth = slope(minutes, [sample[name] for sample in later]) * duration
        result[name] = {"growth": round(growth, 2), "allowed": round(limit, 2)}
        result["flat"] = result["flat"] and growth <= limit
    return result


def measure(contestant: Contestant, minutes: float, rate: float, folder: Path) -> dict[str, Any]:
    """Run for so long; the record is written every few seconds, and returned."""
    record: dict[str, Any] = {
        "machine": describe_machine(),
        "backend": contestant.backend,
        "cameras": CAMERAS,
        "rate": rate,
        "problems": [],
        "samples": [],
    }
    judge = (
        judge_null
        if contestant.backend == "null"
        else picture_judge(contestant.model, contestant.backend, VGA, folder)
    )
    step = min(10.0, minutes * 60 / 6)
    try:
        with World(contestant, CAMERAS) as world:
            world.listen(CAMERAS, VGA, IMAGES)
            begun = time.monotonic()
            while time.monotonic() - begun < minutes * 60:
                phase = world.phase(CAMERAS, VGA, rate, max(1, round(rate * step)), 0.5)
                answers = match(phase.sent, phase.arrivals, phase.runs, IMAGES, judge)
                record["problems"] += answers.problems[:5]
                if not answers.answers:
                    raise MeasurementError("no frame was answered")
                sample: dict[str, float] = {"minute": (time.monotonic() - begun) / 60}
                sample |= footprint(world.pid)
                for name, value in percentiles([a.latency for a in answers.answers]).items():
                    sample[f"latency_{name}"] = value
                sample |= {"sent": answers.sent, "answered": len(answers.answers)}
                sample["load"] = os.getloadavg()[0]
                record["samples"].append(sample)
                _write(record, folder)
    except MeasurementError as error:
        record["problems"].append(str(error))
    except KeyboardInterrupt:
        record["interrupted"] = True
    return _write(record, folder)


def _write(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    record["verdict"] = verdict(record["samples"])
    if record["problems"]:
        record["verdict"] |= {"flat": False, "why": record["problems"][0]}
    replace_file(folder / "soak.json", json.dumps(record, indent=1))
    return record


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Memory and latency over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    samples = record["samples"]
    minutes = [sample["minute"] for sample in samples]
    figure, (memory, latency) = plt.subplots(2, 1, figsize=(8, 6), dpi=80, layout="constrained")
    memory.plot(minutes, [sample["rss_mib"] for sample in samples], label="resident MiB")
    memory.set(ylabel="MiB", ylim=(0, None), title="the node's memory")
    for name in ("p50", "p90", "p99"):
        latency.plot(minutes, [sample[f"latency_{name}"] for sample in samples], label=name)
    latency.set(ylabel="ms", xlabel="minutes", ylim=(0, None), title="stamp to last of 3 images")
    latency.legend()
    figure.savefig(path)
    plt.close(figure)


def main() -> int:
    """Measure and judge; 0 if all is flat and every answer was right."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--backend", default="auto", help="null, or a real one")
    parser.add_argument("--rate", type=float, default=15.0, help="of each camera, in Hz")
    parser.add_argument("--model", default="", help="ONNX file (the bundled one)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    end_like_an_interruption()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    model = (find_model(arguments.model) if arguments.model else bundled_model()).resolve()
    contestant = Contestant("ours", arguments.backend, model, read_model_card(model))
    arguments.output.mkdir(parents=True, exist_ok=True)
    with domain_id() as domain:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        record = measure(contestant, arguments.minutes, arguments.rate, arguments.output)
    if record["samples"]:
        draw(record, arguments.output / "soak.png")
    print(json.dumps(record["verdict"], indent=1))
    return 0 if record["verdict"]["flat"] else 1


if __name__ == "__main__":
    sys.exit(main())
