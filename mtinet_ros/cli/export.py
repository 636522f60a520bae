# SPDX-License-Identifier: Apache-2.0
"""`mtinet export`: a checkpoint, or a network with random weights, as one ONNX file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mtinet_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("checkpoint", nargs="?", type=Path, help="weights (.safetensors)")
    source.add_argument(
        "--untrained",
        action="store_true",
        help="random weights: tries the pipeline; what it answers means nothing",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="ONNX file to write")
    parser.add_argument(
        "--backbone", help="with --untrained: hrnet_w18 (default), hrnet_w32, hrnet_w48, ..."
    )
    parser.add_argument(
        "--input-size",
        type=_size,
        metavar="HxW",
        help="network input in pixels, multiples of 32 (default: the checkpoint's, or 480x640)",
    )
    parser.add_argument("--max-batch", type=int, help="largest batch to check (default 8)")
    parser.add_argument("--name", help="short name for the model card")
    parser.add_argument(
        "--confidence", action="store_true", help="add the segmentation's confidence as an output"
    )
    parser.add_argument("--seed", type=int, default=0, help="with --untrained: random seed")


def run(arguments: argparse.Namespace) -> int:
    """Export and print how far the graph is from the network."""
    from mtinet_ros.export.checkpoint_card import load_with_card
    from mtinet_ros.export.exporter import export_network
    from mtinet_ros.export.untrained import untrained_network

    if arguments.untrained:
        size = arguments.input_size or (480, 640)
        network, card = untrained_network(
            arguments.backbone or "hrnet_w18", size, seed=arguments.seed
        )
    else:
        if arguments.backbone:
            raise ConfigurationError(
                f"--backbone {arguments.backbone} goes with --untrained only: "
                f"{arguments.checkpoint} decides its own"
            )
        network, card = load_with_card(arguments.checkpoint, arguments.input_size)
    if arguments.max_batch is not None:
        card = replace(card, max_batch=arguments.max_batch)
    if arguments.name is not None:
        card = replace(card, name=arguments.name)
    export = export_network(network, card, arguments.output, confidence=arguments.confidence)
    height, width = export.card.input_size
    size_mb = export.path.stat().st_size / 1e6
    print(f"{export.path}: {size_mb:.1f} MB, input {height}x{width}, {export.card.precision}")
    print(f"  against PyTorch, batches of 1 and {export.card.max_batch}:")
    for name, value in export.differences.items():
        print(f"  {name:<17} {value:.6g}")
    if export.card.untrained:
        print("  The weights are random: what this model answers means nothing.")
    return 0


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give height x width, e.g. 480x640")
    return int(height), int(width)
