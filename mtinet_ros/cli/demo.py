# SPDX-License-Identifier: Apache-2.0
"""`mtinet demo`: the real node on pictures played as a camera."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from mtinet_ros.cli.options import model_or_name, path, path_text
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import BACKEND_CHOICES
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.node.end_signals import EndSignals, end_at_once, given_back

# A run that nobody watches ends by itself after so many frames.
_UNATTENDED_FRAMES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--source",
        type=path_text,
        default="",
        help="picture, folder, video or /dev/video0 (default: bundled pictures)",
    )
    parser.add_argument(
        "-m", "--model", type=model_or_name, help="ONNX model (default: the bundled one)"
    )
    parser.add_argument("--backend", choices=BACKEND_CHOICES, default="auto")
    parser.add_argument("--rate", type=float, default=5.0, help="pictures per second (default: 5)")
    parser.add_argument(
        "--frames",
        type=int,
        default=_UNATTENDED_FRAMES if os.environ.get("CI") == "true" else 0,
        help="end after so many frames (default: never, or 20 if CI=true)",
    )
    parser.add_argument("-o", "--output", type=path, default="build/demo")
    parser.add_argument(
        "--view", action="store_true", help="with `mtinet view` in place of its window"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demonstration; Ctrl-C and SIGTERM are its regular end."""
    if not 0.1 <= arguments.rate <= 1000.0:
        raise ConfigurationError(f"--rate {arguments.rate:g} is not allowed; from 0.1 to 1000 Hz")
    with given_back():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    end_at_once()  # the imports take a second
    try:
        from mtinet_ros.demo.demonstration import run_demonstration
    except ImportError as error:
        raise ConfigurationError(
            f"the demonstration needs ROS 2 ({error}): source your ROS installation, or install "
            "the wheels with pip install 'mtinet_ros[ros]'"
        ) from error
    signals = EndSignals()
    try:
        with _viewer(arguments.view):
            run_demonstration(
                signals,
                arguments.model or bundled_model(),
                arguments.backend,
                arguments.source,
                arguments.rate,
                arguments.frames,
                arguments.output,
                has_window=not arguments.view,
            )
    finally:
        signals.ignore()
    return 0


@contextlib.contextmanager
def _viewer(is_wanted: bool) -> Iterator[None]:
    """`mtinet view` as a process of its own, if it is wanted."""
    command = [sys.executable, "-m", "mtinet_ros.cli.main", "view"]
    # A session of its own: Ctrl-C reaches only this process, which then ends the viewer.
    viewer = subprocess.Popen(command, start_new_session=True) if is_wanted else None
    try:
        yield
    finally:
        if viewer is not None:
            viewer.terminate()
            viewer.wait()
