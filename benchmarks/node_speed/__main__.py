# SPDX-License-Identifier: Apache-2.0
"""Measures the node: `make bench`, or `python -m benchmarks.node_speed`.

    python -m benchmarks.node_speed                        # all, into build/bench
    python -m benchmarks.node_speed --quick                # a minute: does everything work?
    python -m benchmarks.node_speed --only ceiling         # one of latency, ceiling, outputs
    python -m benchmarks.node_speed --document             # also write docs/performance.md anew

What is done is kept: after an interruption the same command goes on, unless plan, model or
revision have changed. Ctrl-C ends all processes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.node_speed.child_processes import end_like_an_interruption
from benchmarks.node_speed.measurements import QUICK, Bench, Plan
from benchmarks.node_speed.report import document, write_report
from mtinet_ros.install_paths import bundled_model, find_model

_MEASUREMENTS = ("latency", "ceiling", "outputs")


def main() -> int:
    """Measure, and write tables and plots; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="node_speed", description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--only", nargs="+", choices=_MEASUREMENTS, default=list(_MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--rounds", type=int, help="turns of each contestant")
    parser.add_argument("--model", default="", help="ONNX file (the bundled one)")
    parser.add_argument("--backend", default="auto", help="of our node, for the real model")
    parser.add_argument("--document", action="store_true", help="write docs/performance.md anew")
    arguments = parser.parse_args()
    end_like_an_interruption()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    plan = QUICK if arguments.quick else Plan()
    if arguments.rounds:
        plan = Plan(**{**vars(plan), "rounds": arguments.rounds})
    model = find_model(arguments.model) if arguments.model else bundled_model()
    arguments.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(plan, model.resolve(), arguments.backend, arguments.output)
    try:
        for name in arguments.only:
            getattr(bench, name)()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    records = {name: bench.record(name) for name in _MEASUREMENTS}
    failed = write_report(records, arguments.output)
    if arguments.document:
        document(arguments.output)
    print((arguments.output / "report.md").read_text())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
