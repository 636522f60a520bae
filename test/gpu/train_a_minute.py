# SPDX-License-Identifier: Apache-2.0
"""Trains the shipped configuration on toy rooms, stops, and goes on from there.

python -m gpu.train_a_minute FOLDER [--minutes 1] [--accelerator gpu] [--devices 1] [--set K=V]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from support.tiny_run import SHIPPED, settings, write_rooms


def main() -> int:
    """Train twice; 1 if the second run does not begin where the first one stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--accelerator", default="gpu")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
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
        f"run.devices={given.devices}",
        "run.precision=auto",
        *given.overrides,
    ]
    run = settings(rooms, output / "run", 1_000_000, overrides)
    # The command, as a user has it: with several devices it starts itself once more for each.
    command = [sys.executable, "-m", "mtinet_ros.cli.main", "train", str(SHIPPED)]
    command += [word for entry in run for word in ("--set", entry)]
    steps = []
    for minutes in (given.minutes, given.minutes / 4):
        status = subprocess.run([*command, "--max-minutes", str(minutes)], check=False).returncode
        if status:
            print(f"`mtinet train` ended with {status}")
            return 1
        state = torch.load(output / "run" / "last.ckpt", weights_only=True)
        steps.append(int(state["global_step"]))
        print(f"{steps[-1]} steps after {minutes} more minutes")
    return 0 if 0 < steps[0] < steps[1] else 1


if __name__ == "__main__":
    sys.exit(main())
