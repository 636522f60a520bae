# SPDX-License-Identifier: Apache-2.0
"""Options of `mtinet evaluate`, and which of them go together."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtinet_ros.cli.evaluate_recording import add_recording_arguments, check_recording_arguments
from mtinet_ros.cli.evaluate_steadiness import check_steadiness_arguments
from mtinet_ros.cli.options import (
    add_cpu_arguments,
    cpu_settings,
    model_or_name,
    path,
    path_text,
    plain_text,
)
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import CpuSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "model",
        type=model_or_name,
        nargs="?",
        help="exported model (.onnx), a checkpoint, or a report (.json) written earlier",
    )
    parser.add_argument(
        "--compare",
        type=model_or_name,
        nargs=2,
        metavar=("A", "B"),
        help="instead of one model: two of them, measured on the same frames, or reports (.json) "
        "written earlier",
    )
    parser.add_argument(
        "--single-task",
        type=path,
        nargs="+",
        metavar="REPORT",
        help="reports (.json) of single-task networks on the same data: adds by how much the "
        "model is better than these, by task and in the mean (multi-task performance)",
    )
    parser.add_argument(
        "--data",
        type=path_text,
        metavar="DIR",
        help="folder written by `mtinet scenes`, or of NYU Depth V2, PASCAL_MT or UrbanLF; with "
        "--truth, a bag",
    )
    parser.add_argument(
        "--kind",
        choices=("rooms", "nyud", "pascal", "urbanlf"),
        help="of data (default: what the folder holds)",
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=0, help="the first so many (0: all)")
    parser.add_argument(
        "--whole-frame",
        action="store_true",
        help="measure the border without truth too, as published figures do; else it is cut off",
    )
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="measure as the paper's results were: --whole-frame, and pictures and predictions "
        "resized as its authors do instead of as a robot does",
    )
    parser.add_argument(
        "--weights",
        choices=("ema", "model"),
        help="where a checkpoint holds both: the averaged weights (default), or those in training",
    )
    parser.add_argument(
        "--preset",
        choices=("nyud", "pascal"),
        help="data that a checkpoint of the authors was trained on, which the file does not say: "
        "its size, classes, unit of depth, axes of normals",
    )
    parser.add_argument("--backend", default="auto", help="what runs an exported model")
    add_cpu_arguments(parser)
    parser.add_argument(
        "--record",
        metavar="NAME",
        type=plain_text,
        help="also put the figures into the card of the exported model, as of NAME, e.g. "
        "'real rooms'",
    )
    parser.add_argument("--json", type=path, metavar="FILE", help="also write the figures there")
    parser.add_argument(
        "--html",
        type=path,
        metavar="FILE",
        help="also write a page with the worst and best frames",
    )
    add_recording_arguments(parser)


def named_inputs(arguments: argparse.Namespace) -> list[Path]:
    """The files that the command line names, once it makes sense."""
    if arguments.frames < 0:
        raise ConfigurationError(f"--frames is {arguments.frames}; 0 (all) or more")
    if (arguments.model is None) == (arguments.compare is None):
        what = "no model is named" if arguments.model is None else (
            f"{arguments.model} stands beside --compare"
        )  # fmt: skip
        raise ConfigurationError(f"{what}; name one model, or two files after --compare")
    if arguments.json and arguments.html and is_same(arguments.json, arguments.html):
        raise ConfigurationError(f"--json and --html both name {arguments.json}; name two files")
    check_recording_arguments(arguments)
    if arguments.steadiness:
        check_steadiness_arguments(arguments)
    inputs: list[Path] = arguments.compare or [arguments.model]
    models = [file for file in inputs if not is_report_file(file)]
    if arguments.single_task and arguments.compare:
        raise ConfigurationError(
            "--single-task goes with one multi-task model and stands beside --compare; measure "
            "each model alone"
        )
    if models and not (arguments.data or arguments.steadiness):
        raise ConfigurationError(f"no data are named to measure {models[0]} on; add --data DIR")
    if not models and arguments.data:
        raise ConfigurationError(
            f"--data {arguments.data} goes with a model; {inputs[0]} holds figures already"
        )
    if arguments.weights and models and all(is_onnx(file) for file in models):
        raise ConfigurationError(
            f"--weights {arguments.weights} goes with a checkpoint; {models[0]} is an "
            "exported model, whose weights were chosen at its export"
        )
    if arguments.preset and any(is_onnx(file) for file in models):
        raise ConfigurationError(
            f"--preset {arguments.preset} goes with a checkpoint; an exported model's card says it"
        )
    if cpu_settings(arguments) != CpuSettings() and not any(is_onnx(file) for file in models):
        raise ConfigurationError(
            "--cpu-precision and --cpu-threads go with an exported model; a checkpoint is "
            "computed by PyTorch in float32"
        )
    if arguments.record and (arguments.compare or not is_onnx(inputs[0])):
        raise ConfigurationError(
            f"--record {arguments.record} goes with one exported model (.onnx), whose card keeps "
            f"the figures; {inputs[0]} is "
            + ("compared: measure it alone" if arguments.compare else "none")
        )
    return [*inputs, *(arguments.single_task or ())]


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are of one file."""
    return one.resolve() == other.resolve()


def is_onnx(file: Path) -> bool:
    """Whether a file is an exported model, by its name."""
    return file.suffix.lower() == ".onnx"


def is_report_file(file: Path) -> bool:
    """Whether a file is a report, by its name."""
    return file.suffix.lower() == ".json"
