# SPDX-License-Identifier: Apache-2.0
"""`mtinet scenes`: render furnished rooms with exact ground truth, check them, convert them."""

from __future__ import annotations

import argparse
import logging
import os

from mtinet_ros.cli.options import path, path_text
from mtinet_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("-o", "--output", type=path, metavar="DIR", help="folder to render into")
    parser.add_argument(
        "-n", "--frames", type=int, default=6000, help="at least so many frames (6000)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same bytes (0)"
    )
    parser.add_argument("--size", default="320x240", metavar="WxH", help="of the frames (320x240)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (one per core)"
    )
    parser.add_argument(
        "--furniture",
        type=path_text,
        metavar="DIR",
        help="folder of the *.sh3f libraries (default $MTINET_FURNITURE, else Debian's "
        "/usr/share/sweethome3d/furniture)",
    )
    parser.add_argument(
        "--licenses",
        "--licences",
        nargs="+",
        metavar="SPDX",
        help="use only models under these licenses (all)",
    )
    parser.add_argument(
        "--check", type=path, metavar="DIR", help="check a rendered folder, write its report there"
    )
    parser.add_argument(
        "--layout", choices=("nyud",), help="also write the frames as the authors' NYUD_MT folder"
    )


def run(arguments: argparse.Namespace) -> int:
    """Render, convert or check.

    Returns:
        0; 1 when a check fails.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if arguments.check is not None:
        from mtinet_ros.scenes.storage.check import check

        report = check(arguments.check)
        print(report.text())
        return 0 if not report.failures else 1
    if arguments.output is None:
        raise ConfigurationError(
            "say where to render to with -o DIR, or what to check with --check DIR"
        )
    _render(arguments)
    if arguments.layout == "nyud":
        from mtinet_ros.datasets.nyud_writer import write_rooms

        folder = arguments.output / "NYUD_MT"
        write_rooms(arguments.output, folder)
        print(f"NYUD_MT layout in {folder}")
    return 0


def _render(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from mtinet_ros.datasets.nyud_writer import prepare_rooms
    from mtinet_ros.scenes.assets.catalog import LICENSES, furniture_folder
    from mtinet_ros.scenes.storage.production import RenderSettings, prepare_folder, render_scenes

    unknown = set(arguments.licenses or ()) - set(LICENSES)
    if unknown:
        raise ConfigurationError(
            f"license {', '.join(sorted(unknown))} is not known; choose from {', '.join(LICENSES)}"
        )
    width, height = _size(arguments.size)
    settings = RenderSettings(
        seed=arguments.seed,
        height=height,
        width=width,
        furniture=str(furniture_folder(arguments.furniture)),
        licenses=tuple(sorted(arguments.licenses or LICENSES)),
    )
    todo = prepare_folder(arguments.output, arguments.frames, settings)
    if arguments.layout == "nyud":
        prepare_rooms(arguments.output / "NYUD_MT")  # before hours of rendering, not after
    with tqdm(total=sum(plan.stills + plan.path for plan in todo), unit="frame") as bar:
        render_scenes(
            arguments.output, todo, settings, workers=arguments.workers, progress=bar.update
        )


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise ConfigurationError(f"--size {text} is no size; write for example 320x240")
    return int(width), int(height)
