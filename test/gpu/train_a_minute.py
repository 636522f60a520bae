# SPDX-License-Identifier: Apache-2.0
"""Trains the shipped configuration on toy rooms, stops, and goes on from there.

python -m gpu.train_a_minute FOLDER [--minutes 1] [--accelerator gpu]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from support.tiny_run import configuration, write_rooms

from mtinet_ros.training.run import train


def main() -> int:
    """Train twice; 1 if the second run does not begin where the first one stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--accelerator", default="gpu")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    # Of its own each time, so that a former verification is not continued.
    output = Path(tempfile.mkdtemp(dir=given.folder))
    rooms = output / "rooms"
    rooms.mkdir()
    write_rooms(rooms)
    overrides = [
        "data.batch_size=4",
        "run.validate_steps=200",
        "run.log_steps=50",
        f"run.accelerator={given.accelerator}",
        "run.devices=1",
        "run.precision=auto",
    ]
    run = configuration(rooms, output / "run", 1_000_000, overrides)
    steps = []
    for minutes in (given.minutes, given.minutes / 4):
        folder = train(run, max_minutes=minutes)
        state = torch.load(folder / "last.ckpt", weights_only=True)
        steps.append(int(state["global_step"]))
        print(f"{steps[-1]} steps after {minutes} more minutes")
    if torch.cuda.is_available():
        print(f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB at most on the GPU")
    return 0 if 0 < steps[0] < steps[1] else 1


if __name__ == "__main__":
    sys.exit(main())
