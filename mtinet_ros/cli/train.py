# SPDX-License-Identifier: Apache-2.0
"""`mtinet train`: carry out or continue a training run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import add_overrides, path, path_text

if TYPE_CHECKING:
    from mtinet_ros.training.config import TrainConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mtinet train`."""
    parser.add_argument(
        "config", type=path, help="YAML file that describes the run (see config/train/)"
    )
    add_overrides(
        parser, "replace an entry of the file, e.g. run.output=build/train; may be repeated"
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=0.0,
        help="pause after so many minutes; the same command continues (0: no limit)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="look at the data, build the network, make one step, say how long the run takes and "
        "what memory it needs; writes nothing",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, or try it out; returns 0 when the run is complete or paused."""
    import logging

    from mtinet_ros.training.config_file import load_config
    from mtinet_ros.training.run import train

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = at_home(load_config(arguments.config, arguments.overrides))
    if arguments.dry_run:
        from mtinet_ros.training.dry_run import dry_run
        from mtinet_ros.training.run_estimate import to_text

        print(to_text(dry_run(config)))
        return 0
    folder = train(config, arguments.max_minutes)
    print(f"Averaged weights: {folder / 'latest.safetensors'}")
    return 0


def at_home(config: TrainConfig) -> TrainConfig:
    """The configuration with `~` replaced in every path: no shell looks into a YAML file."""
    from dataclasses import replace

    network, data, run = config.network, config.data, config.run
    return replace(
        config,
        network=replace(
            network,
            initial=path_text(network.initial),
            backbone_weights=path_text(network.backbone_weights),
        ),
        data=replace(
            data,
            root=path_text(data.root),
            sources={
                name: replace(source, root=path_text(source.root))
                for name, source in data.sources.items()
            },
        ),
        run=replace(
            run,
            output=path_text(run.output),
            watch=tuple(path_text(picture) for picture in run.watch),
        ),
    )
