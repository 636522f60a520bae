# SPDX-License-Identifier: Apache-2.0
"""Types of command-line options, and options that several commands have, for argparse."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mtinet_ros.inference.cpu_settings import CPU_PRECISIONS, CpuSettings
from mtinet_ros.install_paths import find_model


def path(text: str) -> Path:
    """A path, `~` and `~name` at its beginning replaced by the home folder.

    A shell does that for a word of its own only, so not in `--output=~/results`. Where nobody is
    called so, the path stays as it is: a file may be named `~x`.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def path_text(text: str) -> str:
    """`path` for options whose empty text means a default."""
    return str(path(text)) if text else ""


def model_path(text: str) -> Path:
    """`path` to a model or weights: the libraries that read those take no bytes for a name.

    Raises:
        ArgumentTypeError: The name is in another encoding.
    """
    return Path(plain_text(str(path(text))))


def model_or_name(text: str) -> Path:
    """`model_path`, or the name of a model that comes with the package."""
    return find_model(str(model_path(text)) if os.sep in text else plain_text(text))


def plain_text(text: str) -> str:
    """Text for a model's card or a library.

    Raises:
        ArgumentTypeError: It came in another encoding than the system's.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!a} is not in the system's encoding, {sys.getfilesystemencoding()}; rename "
            "it, or set LC_ALL=C.UTF-8"
        ) from error
    return text


def add_cpu_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--cpu-precision` and `--cpu-threads`; `cpu_settings` reads them."""
    parser.add_argument(
        "--cpu-precision",
        choices=CPU_PRECISIONS,
        default="auto",
        help="arithmetic on a CPU (auto: bf16 where the CPU multiplies it and the model's card "
        "has a report that this costs little)",
    )
    parser.add_argument(
        "--cpu-threads",
        type=int,
        default=0,
        metavar="N",
        help="most threads computing on a CPU (0: one for each it may use)",
    )


def cpu_settings(arguments: argparse.Namespace) -> CpuSettings:
    """What `add_cpu_arguments` declared.

    Raises:
        ConfigurationError: A value is not allowed.
    """
    return CpuSettings(arguments.cpu_precision, arguments.cpu_threads)


def add_overrides(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Declare `--set SECTION.KEY=VALUE`, entries of a training file that are replaced."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help=meaning,
    )
