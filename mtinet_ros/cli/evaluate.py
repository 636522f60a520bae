# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate`: measure a checkpoint on rendered rooms."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mtinet evaluate`."""
    parser.add_argument("weights", help="checkpoint written by `mtinet train` (.safetensors)")
    parser.add_argument("--data", required=True, help="folder written by `mtinet scenes`")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=0, help="the first so many (0: all)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; returns 0."""
    import json
    from dataclasses import asdict
    from pathlib import Path

    from tqdm import tqdm

    from mtinet_ros.scenes.classes import NAMES
    from mtinet_ros.training.evaluation import CheckpointPredictor, evaluate
    from mtinet_ros.training.sample import open_samples

    source = open_samples("rooms", arguments.data, arguments.split)
    predict = CheckpointPredictor(arguments.weights)
    count = min(arguments.frames or len(source), len(source))
    with tqdm(total=count, unit="frame") as bar:
        report = evaluate(predict, source, range(count), len(NAMES), bar.update)
    print(f"{report.frames} frames of {arguments.data}, split {arguments.split}")
    for name, value in report.metrics.items():
        print(f"  {name:20} {value:8.4f}")
    for name, iou in zip(NAMES, report.class_iou, strict=True):
        print(f"  IoU {name:16} {iou:8.4f}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(asdict(report), indent=2) + "\n")
    return 0
