# SPDX-License-Identifier: Apache-2.0
"""`mtinet export`: a checkpoint, or a network with random weights, as one ONNX file."""

from __future__ import annotations

import argparse
import codecs
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import model_path, path, plain_text
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_card import ModelCard, read_model_card
from mtinet_ros.model_contract import PRECISIONS
from mtinet_ros.output_files import check_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mtinet_ros.export.checkpoint_card import DescribedNetwork
    from mtinet_ros.export.criteria import Judge
    from mtinet_ros.export.presets import Preset

# `rooms` is what `mtinet train` learns from; the others are in mtinet_ros.export.presets.
_PRESETS = ("nyud", "pascal", "rooms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "checkpoint",
        nargs="?",
        type=model_path,
        help="weights of MTI-Net: .safetensors or last.ckpt of `mtinet train`, .pth.tar of the "
        "paper's authors, or any state dict of it",
    )
    source.add_argument(
        "--untrained",
        action="store_true",
        help="random weights: tries the pipeline; what it answers means nothing",
    )
    parser.add_argument(
        "-o", "--output", type=model_path, required=True,
        help="ONNX file to write; a name that ends in .safetensors copies the weights instead, in "
        "--precision fp32 or fp16, to train on from",
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        choices=("ema", "model"),
        help="where a checkpoint holds both: the averaged weights (default), or those in training",
    )
    parser.add_argument(
        "--input-size",
        type=_size,
        metavar="HxW",
        help="network input in pixels, multiples of 32 (default: the preset's, the checkpoint's, "
        "or 480x640)",
    )
    parser.add_argument("--max-batch", type=int, help="largest batch to check (default 8)")
    parser.add_argument(
        "--name", type=plain_text, help="short name for the model card (default: the file's)"
    )
    parser.add_argument(
        "--confidence", action="store_true", help="add the segmentation's confidence as an output"
    )

    said = parser.add_argument_group("what weights do not say about themselves")
    said.add_argument(
        "--preset", choices=_PRESETS, help="the data set they were trained on says it all"
    )
    said.add_argument("--class-names", type=path, metavar="FILE", help="a name per line")
    said.add_argument(
        "--normals-axes",
        metavar="X,Y,Z",
        help="which component points right, down and forward, e.g. --normals-axes=x,y,-z",
    )
    said.add_argument(
        "--depth-unit", type=float, metavar="METRES", help="metres in a unit of depth, e.g. 0.001"
    )
    said.add_argument(
        "--focal-length", type=float, metavar="PIXELS", help="of the training pictures (f0)"
    )
    said.add_argument("--license", type=plain_text, help="SPDX expression for the weights")

    numbers = parser.add_argument_group("precision")
    numbers.add_argument("--precision", choices=PRECISIONS, default="fp32")
    numbers.add_argument(
        "--calibration",
        type=path,
        metavar="SOURCE",
        help="bag, video, folder of pictures or picture like what the robot sees: calibrates "
        "int8, and accuracy is measured on it (default for the others: bundled pictures)",
    )
    numbers.add_argument(
        "--calibration-topics",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="of a bag: images to take (default: of all cameras)",
    )
    numbers.add_argument(
        "--force", action="store_true", help="write it even if it costs too much accuracy"
    )

    labelled = parser.add_argument_group("labelled pictures decide what a precision may cost")
    labelled.add_argument(
        "--judge",
        type=path,
        metavar="DIR",
        help="data set with labels or depth, any that `mtinet evaluate` takes: of mIoU and δ1, "
        "0.01 may be lost on it (without: answers must agree with float32's)",
    )
    labelled.add_argument("--split", choices=("train", "val", "test"), help="default: val")
    labelled.add_argument(
        "--frames", type=int, help="so many, spread over the split (default 100; 0: all)"
    )
    labelled.add_argument(
        "--kind",
        choices=("rooms", "nyud", "pascal", "urbanlf"),
        help="of data (default: what the folder holds)",
    )

    untrained = parser.add_argument_group("with --untrained")
    untrained.add_argument("--backbone", help="hrnet_w18 (default), hrnet_w32, hrnet_w48, ...")
    untrained.add_argument("--seed", type=int, default=0, help="random seed")


def run(arguments: argparse.Namespace) -> int:
    """Export, and print how far the graph is from the network."""
    _check_output(arguments)
    if arguments.output.suffix.lower() == ".safetensors":
        return _copy(arguments)
    from mtinet_ros.export.exporter import ExportOptions, check_precision, export_network

    check_precision(arguments.precision, arguments.calibration is not None)
    if arguments.calibration_topics and arguments.calibration is None:
        raise ConfigurationError(
            f"--calibration-topics {arguments.calibration_topics[0]} goes with --calibration BAG"
        )
    _check_judge(arguments)
    described = _untrained(arguments) if arguments.untrained else _checkpoint(arguments)
    card = described.card
    if arguments.max_batch is not None:
        card = replace(card, max_batch=arguments.max_batch)
    if arguments.name is not None:
        card = replace(card, name=arguments.name)
    for note in (described.note, *_gaps(described, arguments)):
        if note:
            print(f"note: {note}")
    options = ExportOptions(
        confidence=arguments.confidence,
        precision=arguments.precision,
        images=_images(arguments, card),
        force=arguments.force,
        convention=described.convention,
        report=print,
        judge=_judge(arguments, card),
    )
    export = export_network(described.network, card, arguments.output, options)
    height, width = export.card.input_size
    size_mb = export.path.stat().st_size / 1e6
    print(f"{export.path}: {size_mb:.1f} MB, input {height}x{width}, {export.card.precision}")
    _print_measures(
        f"float32 graph against PyTorch, batches of 1 and {card.max_batch}", export.differences
    )
    if export.card.precision != "fp32":
        _print_measures(f"{export.card.precision} against float32", export.card.accuracy)
    judgement = export.card.accuracy.get("judgement", {})
    for name, figures in judgement.items():
        if isinstance(figures, Mapping):
            _print_measures(f"{name} on {judgement['pictures']}", figures)
    if export.card.bf16_report is not None:
        _print_measures("a CPU's bf16 arithmetic against float32", export.card.bf16_report)
    if export.card.untrained:
        print("The weights are random: what this model answers means nothing.")
    return 0


def _images(arguments: argparse.Namespace, card: ModelCard) -> NDArray[np.uint8]:
    """Images to calibrate with and to measure accuracy on."""
    from mtinet_ros.demo.sources import bundled_samples
    from mtinet_ros.export.calibration_images import fit_images, read_calibration_images

    if arguments.calibration is not None:
        images = read_calibration_images(
            arguments.calibration, print, arguments.calibration_topics
        )
        return fit_images(images, card)
    return fit_images(bundled_samples(), card)


def _check_judge(arguments: argparse.Namespace) -> None:
    """Refuse options that decide nothing."""
    if arguments.judge is None:
        for name in ("split", "frames", "kind"):
            value = getattr(arguments, name)
            if value is not None:
                raise ConfigurationError(f"--{name} {value} goes with --judge; name its data")
    elif arguments.precision == "fp32":
        raise ConfigurationError(
            f"--judge {arguments.judge} has nothing to judge in --precision fp32; add --precision "
            "int8, fp16 or bf16"
        )


def _judge(arguments: argparse.Namespace, card: ModelCard) -> Judge | None:
    from mtinet_ros.cli.judge import open_judge

    if arguments.judge is None:
        return None
    return open_judge(
        arguments.judge,
        card,
        split=arguments.split,
        frames=arguments.frames,
        kind=arguments.kind,
        report=print,
    )


def _check_output(arguments: argparse.Namespace) -> None:
    """Refuse to replace what no export wrote, and weights in any case: they took days."""

    def is_own(there: Path) -> bool:
        return read_model_card(there) is not None

    weights = arguments.output.suffix.lower() == ".safetensors"
    if weights and arguments.output.is_file() and arguments.output.stat().st_size:
        raise ConfigurationError(
            f"{arguments.output} is there, and weights are not replaced: they took days; remove "
            "it or choose another name"
        )
    check_target(arguments.output, is_own)


def _copy(arguments: argparse.Namespace) -> int:
    """Write the weights alone; they keep their description, so nothing else can be said."""
    from mtinet_ros.export.weights_copy import copy_weights

    if arguments.untrained:
        raise ConfigurationError("--untrained writes a model, not weights: name an .onnx file")
    plain = argparse.ArgumentParser()
    add_arguments(plain)
    defaults = vars(plain.parse_args([f"--output={arguments.output}", "--", "weights"]))
    kept = ("checkpoint", "output", "precision", "weights")
    given = [
        name
        for name, default in defaults.items()
        if name not in kept and getattr(arguments, name) != default
    ]
    if given:
        raise ConfigurationError(
            f"--{given[0].replace('_', '-')} goes with an .onnx output only: "
            f"{arguments.output} keeps the description of {arguments.checkpoint}"
        )
    note = copy_weights(
        arguments.checkpoint, arguments.output, arguments.precision, arguments.weights
    )
    if note:
        print(f"note: {note}")
    size_mb = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {size_mb:.1f} MB, weights in {arguments.precision}")
    return 0


def _untrained(arguments: argparse.Namespace) -> DescribedNetwork:
    from mtinet_ros.export.checkpoint_card import DEFAULT_INPUT_SIZE, DescribedNetwork
    from mtinet_ros.export.deploy_network import OutputConvention
    from mtinet_ros.export.untrained import untrained_network

    if arguments.weights:
        raise ConfigurationError(
            f"--weights {arguments.weights} goes with a checkpoint; --untrained has none"
        )
    if arguments.seed < 0:
        raise ConfigurationError(f"--seed is {arguments.seed}; 0 or more")
    network, card = untrained_network(
        arguments.backbone or "hrnet_w18",
        arguments.input_size or DEFAULT_INPUT_SIZE,
        seed=arguments.seed,
    )
    return DescribedNetwork(network, card, OutputConvention())


def _checkpoint(arguments: argparse.Namespace) -> DescribedNetwork:
    from mtinet_ros.export.checkpoint_card import load_described

    if arguments.backbone:
        raise ConfigurationError(
            f"--backbone {arguments.backbone} goes with --untrained only: "
            f"{arguments.checkpoint} decides its own"
        )
    return load_described(
        arguments.checkpoint, _preset(arguments), arguments.input_size, arguments.weights
    )


def _preset(arguments: argparse.Namespace) -> Preset:
    from mtinet_ros.export.presets import PRESETS, Preset
    from mtinet_ros.scenes import classes

    if arguments.preset == "rooms":
        preset = Preset(class_names=classes.NAMES, palette=classes.PALETTE)
    else:
        preset = PRESETS.get(arguments.preset, Preset())
    if arguments.class_names is not None:
        preset = replace(preset, class_names=_read_names(arguments.class_names), palette=None)
    if arguments.normals_axes is not None:
        axes = tuple(axis.strip() for axis in arguments.normals_axes.split(","))
        preset = replace(preset, normals_axes=axes)
    for option, field in (
        ("depth_unit", "meters_per_unit"),
        ("focal_length", "focal_length"),
        ("license", "license"),
    ):
        if getattr(arguments, option) is not None:
            preset = replace(preset, **{field: getattr(arguments, option)})
    return preset


def _read_names(path: Path) -> tuple[str, ...]:
    """One name per line of a text file in UTF-8 or, with a byte order mark, UTF-16."""
    try:
        content = path.read_bytes()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        lines = content.decode("utf-16" if is_utf16 else "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read class names from {path}: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _gaps(described: DescribedNetwork, arguments: argparse.Namespace) -> list[str]:
    """Properties of the model that neither weights nor options say, one sentence each."""
    from mtinet_ros.model_contract import TASK_OUTPUTS

    card, tasks = described.card, described.network.tasks
    gaps = []
    dropped = [task for task in tasks if task not in TASK_OUTPUTS]
    if dropped:
        gaps.append(f"{', '.join(dropped)} have no output in an exported model and are left out")
    if "semseg" in tasks and card.class_names[:1] == ("class 0",):
        gaps.append("classes are named by number; --preset or --class-names names them")
    if "normals" in tasks and card.normals_axes == "as_trained":
        gaps.append("normals stay as trained; --preset or --normals-axes says how they point")
    if "depth" in tasks and card.depth_kind == "as_trained":
        gaps.append("depth stays as trained; --preset or --depth-unit makes it metres")
    elif "depth" in tasks and card.focal_length is None:
        gaps.append("depth cannot be scaled for the lens; --focal-length says what it was")
    return gaps


def _print_measures(title: str, measures: object) -> None:
    assert isinstance(measures, Mapping)
    print(f"{title}:")
    for name, value in measures.items():
        if isinstance(value, Mapping):  # a report of its own
            continue
        text = f"{value:.6g}" if isinstance(value, float) else "none" if value == "" else value
        print(f"  {name:<20} {text}")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give height x width, e.g. 480x640")
    return int(height), int(width)
