# SPDX-License-Identifier: Apache-2.0
"""`mtinet reproduce`: an experiment of the paper, from checked data to a report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtinet_ros.cli.main import build_parser
from mtinet_ros.cli.options import add_overrides, path
from mtinet_ros.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from mtinet_ros.training.config import TrainConfig
    from mtinet_ros.training.reproduction import Experiment

_OPTIONS = {
    "data.root": "--data",
    "run.output": "--output",
    "network.backbone_weights": "--backbone-weights",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mtinet reproduce`."""
    parser.add_argument("experiment", nargs="?", metavar="NAME", help="such as nyud_w18")
    parser.add_argument("--list", action="store_true", help="name the experiments, and end")
    parser.add_argument(
        "--data", type=path, metavar="DIR", help="folder of the data set (default: the recipe's)"
    )
    parser.add_argument(
        "--output",
        type=path,
        metavar="DIR",
        default=Path("build/paper"),
        help="folder of all experiments; each has one of its name in it (default build/paper)",
    )
    parser.add_argument(
        "--backbone-weights",
        type=path,
        metavar="FILE",
        help="ImageNet weights of the backbone, see docs/training.md",
    )
    add_overrides(parser, "replace an entry of the recipe, e.g. run.devices=2; the report tells")
    parser.add_argument(
        "--no-data-check",
        action="store_true",
        help="train on data that were not checked; the report tells",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="`mtinet train --dry-run` of the recipe, no more"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out an experiment, or go on with it; returns 0 when its report is written."""
    from mtinet_ros.training.reproduction import EXPERIMENTS, find_experiment

    if arguments.list:
        print(_listing(EXPERIMENTS.values()))
        return 0
    if not arguments.experiment:
        raise ConfigurationError("no experiment is named; `mtinet reproduce --list` names them")
    experiment = find_experiment(arguments.experiment)
    recipe = _recipe(experiment)
    folder = arguments.output / experiment.name
    settings = _settings(arguments, folder)
    if arguments.dry_run:
        return _mtinet("train", str(recipe), *settings, "--dry-run")
    if _is_other_process():  # of a training on several devices, which runs the command again
        return _mtinet("train", str(recipe), *settings)
    from mtinet_ros.output_files import folder_lock, make_folder

    config = _config(recipe, settings)
    if not folder.exists():
        from mtinet_ros.training.initial_weights import initial_network

        initial_network(config.network)  # what is missing is said before anything is made
    make_folder(folder)
    busy = f"another process works on {folder}; wait for it, or choose another --output"
    with folder_lock(folder, ConfigurationError, busy):
        _Work(arguments, experiment, recipe, folder, settings, config).run()
    return 0


def _listing(experiments: Iterable[Experiment]) -> str:
    from mtinet_ros.training.reproduction import FIGURES

    lines = []
    for one in experiments:
        figures = ", ".join(
            f"{FIGURES[task].name} {figure:.{FIGURES[task].digits}f}"
            for task, figure in one.reported.items()
        )
        lines.append(f"{one.name:<27} {one.title}" + (f": {figures}" if figures else ""))
    return "\n".join(lines)


def _is_other_process() -> bool:
    from lightning.pytorch.utilities import rank_zero_only

    return bool(getattr(rank_zero_only, "rank", 0))


def _recipe(experiment: Experiment) -> Path:
    from mtinet_ros.install_paths import share_directory

    recipe = share_directory() / "config" / "train" / "paper" / f"{experiment.recipe}.yaml"
    if not recipe.is_file():
        raise ConfigurationError(f"{recipe} is not there; install the package again")
    return recipe


def _settings(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """What `mtinet train` is given besides the recipe."""
    for override in arguments.overrides:
        option = _OPTIONS.get(override.partition("=")[0])
        if option:
            raise ConfigurationError(f"--set {override}: use {option} for that")
    paths = {"run.output": folder / "train"}
    if arguments.data:
        paths["data.root"] = arguments.data
    if arguments.backbone_weights:
        paths["network.backbone_weights"] = arguments.backbone_weights
    # A JSON string is one of YAML too, whatever is in the path.
    given = [f"{key}={json.dumps(str(value))}" for key, value in paths.items()]
    return [part for setting in (*arguments.overrides, *given) for part in ("--set", setting)]


def _config(recipe: Path, settings: list[str]) -> TrainConfig:
    from mtinet_ros.cli.train import at_home
    from mtinet_ros.training.config_file import load_config

    return at_home(load_config(recipe, settings[1::2]))


def _mtinet(command: str, *words: str) -> int:
    """Run another command, as if it had been typed."""
    import importlib

    from mtinet_ros.cli.main import COMMANDS

    parsed = build_parser(command).parse_args([command, *words])
    status: int = importlib.import_module(COMMANDS[command][0]).run(parsed)
    return status


class _Work:
    """The steps of an experiment, each a command that could be typed as well."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        experiment: Experiment,
        recipe: Path,
        folder: Path,
        settings: list[str],
        config: TrainConfig,
    ) -> None:
        from mtinet_ros.training.reproduction_state import ReproductionState

        self.arguments, self.experiment = arguments, experiment
        self.recipe, self.folder, self.settings = recipe, folder, settings
        self.config = config
        self.state = ReproductionState(folder, self.config)
        self.weights = folder / "train" / "latest.safetensors"
        self.model = folder / "model.onnx"
        self.figures = folder / "evaluation.json"

    def run(self) -> None:
        steps = (
            ("data", self._check_data),
            ("train", self._train),
            ("export", self._export),
            ("evaluate", self._evaluate),
        )
        for number, (name, step) in enumerate(steps, 1):
            done = self.state.done(name) is not None
            print(f"{number}/{len(steps)} {name}{': done before' if done else ''}", flush=True)
            if not done:
                self.state.mark(name, **step())
        self._report()

    def _check_data(self) -> dict[str, Any]:
        if self.arguments.no_data_check:
            return {"skipped": "the data were not checked"}
        root = self.config.data.root
        if _mtinet("data", "check", root, "-o", str(self.folder / "data")):
            raise DataError(
                f"the data in {root} are not as they should be, see {self.folder / 'data'}; mend "
                "them, or add --no-data-check"
            )
        return {}

    def _train(self) -> dict[str, Any]:
        from torch import distributed

        from mtinet_ros.training.reproduction_report import file_digest

        _mtinet("train", str(self.recipe), *self.settings)
        if distributed.is_available() and distributed.is_initialized():
            # The other processes are gone; metrics would wait for them.
            distributed.destroy_process_group()
        weights = self.config.network.backbone_weights
        return {"weights": [Path(weights).name, file_digest(Path(weights))] if weights else None}

    def _export(self) -> dict[str, Any]:
        from mtinet_ros.model_contract import TASK_OUTPUTS

        if not set(self.experiment.tasks) & set(TASK_OUTPUTS):
            print(f"an exported model has no output for {self.experiment.tasks[0]}; none is made")
            return {}
        _mtinet("export", str(self.weights), "-o", str(self.model))
        return {}

    def _evaluate(self) -> dict[str, Any]:
        words = ["--data", self.config.data.root, "--split", "val", "--json", str(self.figures)]
        _mtinet("evaluate", str(self.weights), *words, "--as-published")
        return {}

    def _report(self) -> None:
        from mtinet_ros.export.checkpoint_card import load_described
        from mtinet_ros.output_files import write_file
        from mtinet_ros.training.evaluation_report import read_report, to_json
        from mtinet_ros.training.reproduction_report import (
            Reproduction,
            read_metrics,
            to_markdown,
            to_record,
        )

        report = read_report(self.figures)
        training = load_described(self.weights).card.training
        singles = {}
        for task, name in self.experiment.singles.items():
            metrics = read_metrics(self.arguments.output / name)
            if metrics is not None:
                singles[task] = metrics
        notes = [self.state.done(step) or {} for step in ("data", "train")]
        done = Reproduction(
            self.experiment,
            report.metrics,
            (int(training["frames"]), report.frames),
            singles,
            self.arguments.overrides,
            self.config,
            int(training["steps"]),
            tuple(notes[1].get("weights") or ()) or None,
            [note["skipped"] for note in notes if "skipped" in note],
        )
        write_file(self.folder / "reproduction.json", to_json(to_record(done)))
        write_file(self.folder / "reproduction.md", to_markdown(done))
        print(to_markdown(done), end="")
        print(f"\n{self.folder / 'reproduction.md'}")
