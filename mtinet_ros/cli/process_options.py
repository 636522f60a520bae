# SPDX-License-Identifier: Apache-2.0
"""The options of `mtinet process`: which there are, what they mean together, which decide."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

from mtinet_ros.cli.options import add_cpu_arguments, model_or_name, path
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import BACKEND_CHOICES
from mtinet_ros.messages.output_topics import OUTPUTS
from mtinet_ros.offline.fingerprint import about_files
from mtinet_ros.offline.inputs import Input
from mtinet_ros.offline.outputs import (
    DEFAULT_NODE,
    DEFAULT_OUTPUTS,
    FORMATS,
    OutputOptions,
    check_outputs,
    choose_format,
    choose_storage,
)
from mtinet_ros.recordings.lens import LensOptions
from mtinet_ros.recordings.open import Kind, SourceOptions

DEFAULT_MAX_BATCH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "inputs",
        nargs="*",
        type=path,
        metavar="IN",
        help="rosbag2 (folder or file), video, folder of pictures, pictures; several, or a "
        "pattern in quotes",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        required=True,
        metavar="OUT",
        help="a bag, a video (.mp4) or a folder; for several inputs a folder of these",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="",
        help="of OUT (default: what its name says; else a bag of bags, a folder of all others)",
    )
    _add_selection(parser)
    _add_results(parser)
    _add_model(parser)
    run = parser.add_argument_group("how it runs")
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on where an earlier run with the same options ended, or begin",
    )
    run.add_argument(
        "--part-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="what is done is put on the disk for good every so often; a kill costs no more "
        "(default: %(default)g)",
    )
    run.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="do the I-th of N shares only; --merge joins them",
    )
    run.add_argument(
        "--merge", action="store_true", help="join the shards in OUT; no IN, no other option"
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is processed")
    group.add_argument(
        "--topics", nargs="+", default=[], metavar="TOPIC", help="image topics of a bag (all)"
    )
    group.add_argument(
        "--camera-info-topics",
        nargs="+",
        default=[],
        metavar="CAMERA=TOPIC",
        help="of a bag: the CameraInfo of a camera, or of its image topic, where it is not the "
        "sibling camera_info",
    )
    group.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="of each camera the first frame and every N-th after it",
    )
    for name in ("start", "end"):
        group.add_argument(
            f"--{name}",
            default="",
            metavar="TIME",
            help="seconds from the beginning, or a time: 2026-11-27T21:30:00Z",
        )
    group.add_argument("--rectify", choices=("auto", "off"), default="auto")
    group.add_argument(
        "--focal-length",
        type=float,
        metavar="PIXELS",
        help="of videos and pictures at their own size; without it depth is up to scale",
    )
    group.add_argument(
        "--camera-info",
        type=path,
        metavar="FILE",
        help="of videos and pictures: calibration in YAML, as camera_calibration writes it",
    )
    group.add_argument("--frame-id", default="", help="of videos and pictures, for the headers")


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--outputs",
        default=",".join(DEFAULT_OUTPUTS),
        metavar="NAMES",
        help=f"some of {','.join(OUTPUTS)} (default: %(default)s)",
    )
    group.add_argument(
        "--keep-input",
        action="store_true",
        help="also what was recorded: the images that are processed, and all other topics",
    )
    group.add_argument("--depth-encoding", choices=("32FC1", "16UC1"), default="32FC1")
    group.add_argument(
        "--points-stride",
        type=int,
        default=1,
        metavar="N",
        help="every N-th pixel in both directions is in the point cloud",
    )
    group.add_argument(
        "--obstacles-stride",
        type=int,
        default=OutputOptions.obstacles_stride,
        metavar="N",
        help="the same for the clouds by class (default: %(default)s)",
    )
    group.add_argument(
        "--ground-classes",
        default=",".join(OutputOptions.ground_classes),
        metavar="NAMES",
        help="for the output obstacles: what a robot may drive on (default: %(default)s)",
    )
    group.add_argument(
        "--class-fields",
        default=",".join(OutputOptions.class_fields),
        metavar="NAMES",
        help="for the output classes: those with a field of their own (default: %(default)s)",
    )
    group.add_argument(
        "--node",
        default=DEFAULT_NODE,
        metavar="NAME",
        help="of a bag: topics are below it, as below a node of that name (default: %(default)s)",
    )
    group.add_argument(
        "--storage", choices=("mcap", "sqlite3"), default="", help="of a bag (default: mcap)"
    )
    group.add_argument(
        "--compress", choices=("zstd",), default="", help="of a bag in mcap: its chunks"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument(
        "-m",
        "--model",
        type=model_or_name,
        help="ONNX model with a card (default: the bundled one)",
    )
    group.add_argument("--backend", choices=BACKEND_CHOICES, default="auto")
    group.add_argument("--fit", choices=("letterbox", "stretch"), default="")
    group.add_argument(
        "--fit-on-gpu",
        action="store_true",
        help="TensorRT's backends also decode the raw images of bags; no GPU has run this yet",
    )
    group.add_argument(
        "--max-batch",
        type=int,
        default=0,
        metavar="N",
        help="images of a run of the network at most (default: as many as it gains by, up to "
        f"{DEFAULT_MAX_BATCH})",
    )
    add_cpu_arguments(parser)


def check_numbers(arguments: argparse.Namespace) -> None:
    """Refuse numbers that are not allowed, and no input.

    Raises:
        ConfigurationError: Naming the option.
    """
    if not arguments.inputs:
        raise ConfigurationError("no IN is given; name a bag, a video, pictures or a folder")
    least_allowed = {"every": 1, "points_stride": 1, "obstacles_stride": 1, "max_batch": 0}
    for name, least in least_allowed.items():
        value = getattr(arguments, name)
        if value < least:
            raise ConfigurationError(
                f"--{name.replace('_', '-')} is {value}; allowed: {least} or more"
            )
    if not 0.1 <= arguments.part_seconds <= 86400.0:
        raise ConfigurationError(
            f"--part-seconds is {arguments.part_seconds:g}; allowed: 0.1 to 86400"
        )


def source_options(arguments: argparse.Namespace) -> SourceOptions:
    """How recordings are read.

    Raises:
        ConfigurationError: A value is not allowed.
    """
    rectify = arguments.rectify == "auto"
    lens = LensOptions(arguments.focal_length, arguments.camera_info, rectify)
    topics, keeps_raw = tuple(arguments.topics), arguments.fit_on_gpu
    return SourceOptions(
        topics,
        rectify,
        lens,
        arguments.frame_id,
        keeps_raw,
        _camera_info_topics(arguments.camera_info_topics),
    )


def _camera_info_topics(words: Sequence[str]) -> dict[str, str]:
    """From `front=/front/calibration`: topics of CameraInfo by camera, or by image topic."""
    found: dict[str, str] = {}
    for word in words:
        camera, _, topic = word.partition("=")
        if not camera or not topic:
            raise ConfigurationError(
                f"--camera-info-topics has {word}; give CAMERA=TOPIC, e.g. "
                "front=/front/calibration"
            )
        found[camera] = topic
    return found


def output_options(arguments: argparse.Namespace, inputs: Sequence[Input]) -> OutputOptions:
    """How results are written.

    Raises:
        ConfigurationError: Options do not go together, or not with the inputs.
    """
    outputs = _listed(arguments.outputs)
    format_ = choose_format(arguments.output, inputs, arguments.format)
    check_outputs(outputs, format_)
    if arguments.keep_input and (
        format_ != "bag" or any(item.kind is not Kind.BAG for item in inputs)
    ):
        raise ConfigurationError("--keep-input is for bags of bags; leave it out")
    if arguments.storage and format_ != "bag":
        raise ConfigurationError(
            f"--storage is {arguments.storage} and the output a {format_}; leave it out"
        )
    if arguments.node != DEFAULT_NODE and format_ != "bag":
        raise ConfigurationError(
            f"--node is {arguments.node} and the output a {format_}; leave it out"
        )
    if not re.fullmatch(r"(/[A-Za-z_]\w*)+", arguments.node, re.ASCII):
        raise ConfigurationError(
            f"--node is {arguments.node}; give the full name of a node, e.g. {DEFAULT_NODE}: "
            "letters, digits and _ between slashes, no digit first"
        )
    storage = choose_storage(arguments.output, arguments.storage)
    if arguments.compress and (format_ != "bag" or storage != "mcap"):
        written = f"bag in {storage}" if format_ == "bag" else format_
        raise ConfigurationError(
            f"--compress is {arguments.compress} and the output a {written}; it is for bags in "
            "mcap"
        )
    return OutputOptions(
        format_,
        outputs,
        arguments.depth_encoding,
        arguments.points_stride,
        arguments.obstacles_stride,
        _listed(arguments.ground_classes),
        _listed(arguments.class_fields),
        arguments.node,
        storage,
        arguments.compress,
    )


def _listed(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def decisive(arguments: argparse.Namespace, options: OutputOptions) -> dict[str, Any]:
    """Options that decide the result, by what a person calls them."""
    names = (
        *("topics", "camera_info_topics", "every", "start", "end", "rectify"),
        *("focal_length", "frame_id"),
        *("fit", "fit_on_gpu"),
    )
    decides: dict[str, Any] = {
        f"--{name.replace('_', '-')}": getattr(arguments, name) for name in names
    }
    decides["--camera-info"] = (
        about_files([arguments.camera_info]) if arguments.camera_info else None
    )
    return {
        **decides,
        "--keep-input": arguments.keep_input,
        "--format": options.format,
        "--outputs": ",".join(options.outputs),
        "--depth-encoding": options.depth_encoding,
        "--points-stride": options.points_stride,
        "--obstacles-stride": options.obstacles_stride,
        "--ground-classes": ",".join(options.ground_classes),
        "--class-fields": ",".join(options.class_fields),
        "--node": options.node,
        "--storage": options.storage,
        "--compress": options.compression,
    }
