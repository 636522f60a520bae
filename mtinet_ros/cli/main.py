# SPDX-License-Identifier: Apache-2.0
"""The `mtinet` command: one thin module per sub-command, imported only when it is called.

A sub-command module offers `add_arguments(parser)` and `run(arguments) -> int` (the exit status).
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from mtinet_ros import __version__
from mtinet_ros.cli.streams import make_streams_robust
from mtinet_ros.errors import MtinetError

# name -> (module, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "export": ("mtinet_ros.cli.export", "turn a network into one self-describing ONNX file"),
    "build": ("mtinet_ros.cli.build", "compile a model into a TensorRT engine"),
    "bf16": ("mtinet_ros.cli.bf16", "measure what a CPU's bf16 arithmetic costs a model"),
    "confidence": (
        "mtinet_ros.cli.confidence",
        "give a model a calibrated confidence of its labels as an output",
    ),
    "benchmark": ("mtinet_ros.cli.benchmark", "time a model stage by stage, as the node runs it"),
    "inspect": ("mtinet_ros.cli.inspect", "show all that an exported model says of itself"),
    "doctor": ("mtinet_ros.cli.doctor", "say what this machine has, what it lacks, what to do"),
    "demo": ("mtinet_ros.cli.demo", "watch the node work on pictures played as a camera"),
    "view": ("mtinet_ros.cli.view", "see what a node publishes, or what a bag holds, in Rerun"),
    "train": ("mtinet_ros.cli.train", "train a network, or continue a run that was cut off"),
    "reproduce": (
        "mtinet_ros.cli.reproduce",
        "carry out an experiment of the paper: check, train, export, measure, report",
    ),
    "evaluate": (
        "mtinet_ros.cli.evaluate",
        "measure a model on labelled pictures, a simulator's bag or a video",
    ),
    "scenes": ("mtinet_ros.cli.scenes", "render furnished rooms with exact ground truth"),
    "data": ("mtinet_ros.cli.data", "check or convert a folder of NYU Depth V2"),
    "process": (
        "mtinet_ros.cli.process",
        "run a model on bags, videos and folders of pictures, resumable",
    ),
    "predict": ("mtinet_ros.cli.predict", "run a model on pictures and write what it sees"),
}
# The extra of setup.py that holds what a command needs beyond running a model.
_EXTRAS = {
    "export": "export",
    "bf16": "export",
    "confidence": "train,export",
    "inspect": "export",
    "train": "train",
    "reproduce": "train,export",
    "evaluate": "train",
    "scenes": "train",
    "data": "train",
    "process": "process",
    "view": "view",
}
# The same of packages that a command needs for some options only.
_EXTRA_OF = {"onnx": "export", "torchmetrics": "train"}
# What pip calls a package that Python calls otherwise.
_PIP_NAMES = {"cv2": "opencv-python", "yaml": "PyYAML"}


class _CommandParser(argparse.ArgumentParser):
    """Refuses what a command does not know beside that command's own usage, not `mtinet`'s."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the base, but that nothing is left over."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Parser of all commands; only the module of `command` is imported."""
    parser = argparse.ArgumentParser(
        prog="mtinet",
        description="Make, check, export and try MTI-Net models for ROS 2 cameras.",
    )
    parser.add_argument("--version", action="version", version=f"mtinet_ros {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_CommandParser
    )
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + "."
        )
        if name == command:
            importlib.import_module(module).add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: what the command says, 1 for an `MtinetError` or a package that is not
        installed (printed as one sentence), 130 after Ctrl-C.
    """
    make_streams_robust()
    argv = sys.argv[1:] if argv is None else list(argv)
    command = next((word for word in argv if not word.startswith("-")), None)
    try:
        arguments = build_parser(command).parse_args(argv)
        module = importlib.import_module(COMMANDS[arguments.command][0])
        status: int = module.run(arguments)
        return _flushed(command, status)
    except MtinetError as error:
        print(f"mtinet {command}: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", __package__.partition(".")[0]):
            raise  # ours: a defect
        print(f"mtinet {command}: {_about_import(command, missing, error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"mtinet {command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _flushed(command: str | None, status: int) -> int:
    """The status, once all is printed; 1 where it cannot be, on a full disk for one."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        print(f"mtinet {command}: cannot print: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left would fail again at the end
        return 1
    return status


def _about_import(command: str | None, package: str, error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return f"the Python package {package} is installed but does not load: {error}"
    extras = {*_EXTRAS.get(command or "", "").split(","), _EXTRA_OF.get(package, "")} - {""}
    bring = (
        f"'mtinet_ros[{','.join(sorted(extras, reverse=True))}]'"
        if extras
        else _PIP_NAMES.get(package, package)
    )
    return (
        f"the Python package {package} is not installed; `pip install {bring}` brings what this "
        "command needs"
    )


if __name__ == "__main__":
    sys.exit(main())
