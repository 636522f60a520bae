# SPDX-License-Identifier: Apache-2.0
"""`mtinet train`: carry out or continue a training run."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mtinet train`."""
    parser.add_argument("config", help="YAML file that describes the run (see config/train/)")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="replace an entry of the file, e.g. run.output=build/train; may be repeated",
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=0.0,
        help="pause after so many minutes; the same command continues (0: no limit)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train; returns 0 when the run is complete or paused."""
    import logging

    from mtinet_ros.training.config import load_config
    from mtinet_ros.training.run import train

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = train(load_config(arguments.config, arguments.overrides), arguments.max_minutes)
    print(f"Averaged weights: {folder / 'latest.safetensors'}")
    return 0
