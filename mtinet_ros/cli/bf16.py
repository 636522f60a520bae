# SPDX-License-Identifier: Apache-2.0
"""`mtinet bf16`: measure what a CPU's bf16 arithmetic costs a model, and put it into its card."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtinet_ros.cli.options import model_or_name, path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", nargs="+", type=model_or_name, help="ONNX file made by `mtinet export`"
    )
    parser.add_argument(
        "--pictures",
        type=path,
        metavar="PATH",
        help="a bag, a video or a folder of photographs of the kind the robot will see (default: "
        "the bundled pictures)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, write into each card, print; 1 if a model does not pass."""
    from mtinet_ros.demo.sources import bundled_samples
    from mtinet_ros.export.bf16_report import add_report
    from mtinet_ros.export.calibration_images import fit_images, read_calibration_images
    from mtinet_ros.model_card import read_model_card

    if arguments.pictures is None:
        images = bundled_samples()
    else:
        images = read_calibration_images(arguments.pictures, print)
    passed = True
    for model in map(Path, arguments.model):
        report = add_report(model, fit_images(images, read_model_card(model)))
        figures = ", ".join(
            f"{name} {value:.4g}" for name, value in report.items() if isinstance(value, float)
        )
        exceeded = report["exceeded"]
        passed = passed and not exceeded
        verdict = (
            f"too much, so `cpu_precision: auto` stays with f32: {exceeded}"
            if exceeded
            else "within the limits: `cpu_precision: auto` takes bf16 where the CPU multiplies it"
        )
        print(
            f"{model}: bf16 against float32 on {report['pictures']} pictures: {figures}; {verdict}"
        )
    return 0 if passed else 1
