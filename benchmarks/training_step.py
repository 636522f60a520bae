# SPDX-License-Identifier: Apache-2.0
"""Times a training step in float32 and in bfloat16, taking turns, on random pictures.

    python benchmarks/training_step.py config/train/rooms.yaml --set data.batch_size=8

Forward, loss, backward and optimiser of one process, without loading of data. Reported are medians
of the CPU time of all threads and their ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time

import torch
from torch.nn import functional

from mtinet_ros.training.config import load_config
from mtinet_ros.training.initial_weights import initial_network
from mtinet_ros.training.module import TrainingModule


def main() -> None:
    """Build, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = load_config(arguments.config, arguments.overrides)
    module = TrainingModule(initial_network(config.network), config, None).train()
    data = config.data
    count, height, width = data.batch_size, data.height, data.width
    batch = {
        "image": torch.randn(count, 3, height, width),
        "semseg": torch.randint(0, config.network.tasks["semseg"], (count, height, width)),
        "depth": torch.rand(count, 1, height, width) + 1,
        "normals": functional.normalize(torch.randn(count, 3, height, width), dim=1),
    }
    batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1e-5)

    def step(narrow: bool) -> float:
        begin = time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if narrow else contextlib.nullcontext():
            total = module.loss(module.network(batch["image"]), batch)["total"]
        total.backward()
        optimizer.step()
        return time.process_time() - begin

    for narrow in (False, True):
        step(narrow)
    times = [(step(False), step(True)) for _ in range(arguments.rounds)]
    wide, narrow = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    print(f"{count} frames of {height}x{width}, {arguments.threads} threads, CPU seconds a step:")
    print(f"float32 {wide:.2f}, bfloat16 {narrow:.2f}: {ratio:.2f} times less")


if __name__ == "__main__":
    main()
