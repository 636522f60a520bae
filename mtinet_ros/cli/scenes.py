# SPDX-License-Identifier: Apache-2.0
"""`mtinet scenes`: render furnished rooms with exact ground truth, check them, convert them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from mtinet_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to render into")
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
        "--check", type=Path, metavar="DIR", help="check a rendered folder, write its report there"
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
        from mtinet_ros.datasets.nyud import write_nyud

        folder = arguments.output / "NYUD_MT"
        write_nyud(arguments.output, folder)
        print(f"NYUD_MT layout in {folder}")
    return 0


def _render(arguments: argparse.Namespace) -> None:
    from mtinet_ros.scenes.assets.catalog import LICENSES, furniture_folder
    from mtinet_ros.scenes.storage.production import Settings, prepare, produce

    unknown = set(arguments.licenses or ()) - set(LICENSES)
    if unknown:
        raise ConfigurationError(
            f"licence {', '.join(sorted(unknown))} is not known; choose from {', '.join(LICENSES)}"
        )
    width, height = _size(arguments.size)
    settings = Settings(
        seed=arguments.seed,
        height=height,
        width=width,
        furniture=str(furniture_folder(arguments.furniture)),
        licenses=tuple(sorted(arguments.licenses or LICENSES)),
    )
    todo = prepare(arguments.output, arguments.frames, settings)
    bar = _Progress(sum(plan.stills + plan.path for plan in todo))
    produce(arguments.output, todo, settings, workers=arguments.workers, progress=bar.add)
    bar.close()


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise ConfigurationError(f"--size {text} is no size; write for example 320x240")
    return int(width), int(height)


class _Progress:
    """One line on stderr: bar, frames, speed, time left."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.live = sys.stderr.isatty()

    def add(self, frames: int) -> None:
        """Count finished frames."""
        self.done += frames
        spent = time.monotonic() - self.start
        left = (self.total - self.done) * spent / self.done
        filled = 30 * self.done // self.total
        line = (
            f"[{'#' * filled}{'.' * (30 - filled)}] {self.done}/{self.total} frames, "
            f"{self.done / spent:.1f}/s, {left / 60:.0f} min left"
        )
        print(
            f"\r{line}\x1b[K" if self.live else line,
            end="" if self.live else "\n",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """End the line."""
        if self.live and self.done:
            print(file=sys.stderr)
