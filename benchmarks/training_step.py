# SPDX-License-Identifier: Apache-2.0
"""Times a training step in several ways, taking turns, on random pictures.

    python benchmarks/training_step.py config/train/rooms.yaml --set data.batch_size=8
    python benchmarks/training_step.py config/train/rooms.yaml --device cuda \\
        --ways float32 bfloat16 bfloat16+contiguous bfloat16+compile

Forward, loss, backward and optimizer of one process, without loading of data. A way is a
precision, then what is different: `contiguous` instead of channels last, `compile` as
`run.compile` does. The first way is the yardstick. Reported are medians: of the CPU time of all
threads on a CPU, of the clock on a GPU, and of the ratios in the same round; on a GPU also the
most memory there was in use, the weights of all ways among it.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional

from mtinet_ros.training.compilation import Pass, compiled
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.config_file import load_config
from mtinet_ros.training.initial_weights import initial_network
from mtinet_ros.training.module import TrainingModule

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
DIFFERENCES = ("contiguous", "compile")


def parse_way(way: str) -> tuple[torch.dtype | None, set[str]]:
    """Precision of autocast (`None`: float32) and the differences of a way.

    >>> parse_way("bfloat16+compile")
    (torch.bfloat16, {'compile'})
    """
    precision, *differences = way.split("+")
    if precision not in PRECISIONS or not set(differences) <= set(DIFFERENCES):
        raise argparse.ArgumentTypeError(
            f"{way} is no way; one is {', '.join(PRECISIONS)}, then +{', +'.join(DIFFERENCES)}"
        )
    return PRECISIONS[precision], set(differences)


def random_batch(config: TrainConfig, device: torch.device) -> dict[str, torch.Tensor]:
    """Pictures and truth that cost what real ones do."""
    data = config.data
    count, height, width = data.batch_size, data.height, data.width
    batch = {
        "image": torch.randn(count, 3, height, width),
        "semseg": torch.randint(0, config.network.tasks["semseg"], (count, height, width)),
        "depth": torch.rand(count, 1, height, width) + 1,
        "normals": functional.normalize(torch.randn(count, 3, height, width), dim=1),
    }
    return {name: value.to(device) for name, value in batch.items()}


def make_step(
    way: str, config: TrainConfig, batch: dict[str, torch.Tensor], device: torch.device
) -> Callable[[], float]:
    """A function that makes one step and returns its seconds."""
    kind, differences = parse_way(way)
    run = replace(config.run, channels_last="contiguous" not in differences)
    config = replace(config, run=run)
    module = TrainingModule(initial_network(config.network), config, None).train().to(device)
    predict: Pass = module.network
    if "compile" in differences:
        predict = compiled(module.network, device)
    image = module.image(batch)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1e-5)
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    def step() -> float:
        wait_for(device)
        begin = clock()
        optimizer.zero_grad()
        with torch.autocast(device.type, kind) if kind else contextlib.nullcontext():
            total = module.loss(predict(image), batch)["total"]
        total.backward()
        optimizer.step()
        wait_for(device)
        return clock() - begin

    return step


def wait_for(device: torch.device) -> None:
    """Until all that was queued is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Build, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--ways", nargs="+", default=["float32", "bfloat16"], metavar="WAY")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    for way in arguments.ways:
        try:
            parse_way(way)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    torch.set_num_threads(arguments.threads)
    config = load_config(arguments.config, arguments.overrides)
    device = torch.device(arguments.device)
    batch = random_batch(config, device)
    steps = {way: make_step(way, config, batch, device) for way in arguments.ways}
    peaks = {}
    for way, step in steps.items():  # twice: compiled, and then with cuDNN's choices made
        step()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        step()
        peaks[way] = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    rounds = [{way: step() for way, step in steps.items()} for _ in range(arguments.rounds)]
    data, first = config.data, arguments.ways[0]
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{arguments.threads} threads, CPU seconds"
    )
    print(f"{data.batch_size} frames of {data.height}x{data.width}, {where}, a step:")
    for way in arguments.ways:
        seconds = statistics.median(times[way] for times in rounds)
        ratio = statistics.median(times[first] / times[way] for times in rounds)
        memory = f", {peaks[way] / 1e9:.1f} GB" if peaks[way] else ""
        print(f"{way}: {seconds:.3f} s, {ratio:.2f} times as fast{memory}")


if __name__ == "__main__":
    main()
