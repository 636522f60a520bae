# SPDX-License-Identifier: Apache-2.0
"""What came of a reproduced experiment, beside what was reported of it: Markdown and JSON."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mtinet_ros import __version__
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.metrics import multi_task_performance
from mtinet_ros.training.reproduction import FIGURES, FRAMES, Experiment

_PACKAGES = ("torch", "lightning", "numpy", "opencv-python", "torchmetrics")


@dataclass(frozen=True)
class Reproduction:
    """A finished experiment.

    Attributes:
        experiment: Which.
        metrics: Measured, by key of the evaluation's report.
        frames: To train on and that were measured.
        singles: Metrics of the single tasks that are there, by task.
        settings: Settings that were replaced, as `--set` takes them.
        config: As it was trained.
        steps: Optimizer steps.
        weights: Name and SHA-256 of the backbone's weights; None: none were named.
        skipped: Steps of the reproduction that were left out, a sentence each.
    """

    experiment: Experiment
    metrics: Mapping[str, float]
    frames: tuple[int, int]
    singles: Mapping[str, Mapping[str, float]]
    settings: Sequence[str]
    config: TrainConfig
    steps: int
    weights: tuple[str, str] | None = None
    skipped: Sequence[str] = ()

    @property
    def gain(self) -> float | None:
        """Δm against the single tasks, percent; None where one of them is missing."""
        if set(self.singles) != set(self.experiment.singles):
            return None
        return multi_task_gain(self.metrics, self.singles)

    @property
    def is_full(self) -> bool:
        """Whether it was trained and measured on the published frames, as the recipe says."""
        return self.frames == self.published and not self.settings and not self.has_other_steps

    @property
    def published(self) -> tuple[int, int]:
        """Published numbers of frames; of human parts alone, pictures of people are trained on."""
        training, measured = FRAMES[self.experiment.kind]
        alone = self.experiment.tasks == ("human_parts",)
        return (self.frames[0] if alone else training), measured

    @property
    def has_other_steps(self) -> bool:
        """Whether a step was not of `data.batch_size` frames, as several devices make it."""
        epochs, size = self.config.optimizer.max_epochs, self.config.data.batch_size
        return epochs > 0 and self.steps != epochs * (self.frames[0] // size)


def multi_task_gain(
    metrics: Mapping[str, float], singles: Mapping[str, Mapping[str, float]]
) -> float | None:
    """Δm over single tasks, of the figures that the paper's tables have.

    Args:
        metrics: Of the multi-task network, by key.
        singles: Metrics of the network of each single task, by task.

    Returns:
        Percent; None where a figure is missing.

    >>> single = {"semseg": {"semseg_miou": 0.5}, "depth": {"depth_rmse_per_image": 0.8}}
    >>> round(multi_task_gain({"semseg_miou": 0.55, "depth_rmse_per_image": 0.84}, single), 6)
    2.5
    """
    keys = {task: FIGURES[task].key for task in singles}
    if not keys or any(
        not singles[task].get(key) or key not in metrics for task, key in keys.items()
    ):
        return None
    return multi_task_performance(
        {task: metrics[key] for task, key in keys.items()},
        {task: singles[task][key] for task, key in keys.items()},
        {task: FIGURES[task].lower_is_better for task in keys},
    )


def machine() -> dict[str, str]:
    """What it was computed with: the system, the device, versions."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    versions = {"mtinet_ros": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # opencv-python has twins of other names
            continue
    return {"system": f"{platform.system()} {platform.release()}", "device": device, **versions}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_metrics(folder: Path) -> dict[str, float] | None:
    """The metrics of an experiment's folder; None: it has no report."""
    try:
        record = json.loads((folder / "reproduction.json").read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in record["metrics"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def to_record(done: Reproduction) -> dict[str, Any]:
    """The report as JSON has it."""
    experiment = done.experiment
    return {
        "experiment": experiment.name,
        "recipe": experiment.recipe,
        "source": experiment.source,
        "reported": dict(experiment.reported),
        "measured": {
            task: done.metrics[FIGURES[task].key] * FIGURES[task].factor
            for task in experiment.tasks
            if FIGURES[task].key in done.metrics
        },
        "reported_delta_m": experiment.delta_m,
        "delta_m": done.gain,
        "frames": {"training": done.frames[0], "measured": done.frames[1]},
        "published_frames": list(done.published),
        "settings_replaced": list(done.settings),
        "steps": done.steps,
        "seed": done.config.run.seed,
        "precision": done.config.run.precision,
        "backbone_weights": list(done.weights) if done.weights else None,
        "skipped": list(done.skipped),
        "machine": machine(),
        "metrics": dict(done.metrics),
    }


def to_markdown(done: Reproduction) -> str:
    """The report for people."""
    experiment = done.experiment
    lines = [
        f"# {experiment.name}",
        "",
        f"{experiment.title}; `config/train/paper/{experiment.recipe}.yaml`.",
    ]
    if not done.is_full:
        lines += [
            "",
            "**Not the experiment as published; see what differs. Its figures are others.**",
        ]
    lines += ["", *_table(done), ""]
    if experiment.source:
        lines.append(f"Reported: {experiment.source}.")
    if experiment.also:
        lines.append(f"{experiment.also[0].upper()}{experiment.also[1:]}.")
    lines += [*_about_gain(done), "", "## What differs", ""]
    lines += [f"- {sentence}" for sentence in _differences(done)]
    lines += ["", "## Made with", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine().items()]
    lines += [f"| seed | {done.config.run.seed} |", f"| steps | {done.steps} |"]
    if done.weights:
        lines.append(f"| weights of the backbone | {done.weights[0]}, sha256 {done.weights[1]} |")
    return "\n".join(lines) + "\n"


def _table(done: Reproduction) -> list[str]:
    rows = ["| | reported | here | difference |", "|---|---|---|---|"]
    for task in done.experiment.tasks:
        figure = FIGURES[task]
        reported = done.experiment.reported.get(task)
        measured = done.metrics.get(figure.key)
        here = None if measured is None else measured * figure.factor
        rows.append(_row(figure.name, reported, here, figure.digits))
    if done.metrics.get("depth_rmse") is not None:
        rows.append(_row("depth, rmse of all pixels m", None, done.metrics["depth_rmse"], 3))
    if done.metrics.get("sal_maxf") is not None:
        rows.append(_row("saliency, maxF %", None, 100 * done.metrics["sal_maxf"], 1))
    if done.experiment.singles:
        rows.append(_row("gain over single tasks, Δm %", done.experiment.delta_m, done.gain, 2))
    return rows


def _row(name: str, reported: float | None, here: float | None, digits: int) -> str:
    both = reported is not None and here is not None
    values = [
        "" if reported is None else f"{reported:.{digits}f}",
        "" if here is None else f"{here:.{digits}f}",
        f"{here - reported:+.{digits}f}" if both else "",  # type: ignore[operator]
    ]
    return f"| {name} | {' | '.join(values)} |"


def _about_gain(done: Reproduction) -> list[str]:
    missing = [name for task, name in done.experiment.singles.items() if task not in done.singles]
    if not missing:
        return []
    commands = ", ".join(f"`mtinet reproduce {name}`" for name in missing)
    return [f"Δm needs the single tasks, which are not there: {commands}."]


def _differences(done: Reproduction) -> list[str]:
    """What is not as the authors had it, known before and found out."""
    found = []
    published = done.published
    if done.frames != published:
        found.append(
            f"trained on {done.frames[0]} frames and measured on {done.frames[1]}; published are "
            f"{published[0]} and {published[1]}"
        )
    if done.settings:
        found.append(f"settings: {', '.join(f'`{setting}`' for setting in done.settings)}")
    if done.has_other_steps:
        found.append(
            f"{done.steps} steps, so a step was not of data.batch_size "
            f"({done.config.data.batch_size}) frames"
        )
    found += done.skipped
    covered = done.metrics.get("depth_coverage", 1.0)
    if covered < 0.9999:
        found.append(
            f"depth was predicted for {covered:.2%} of the pixels with truth, and measured there"
        )
    found += [
        "the model is the last step's; the authors kept the one that was best on the frames it is "
        "measured on",
        "one seed, and another order of frames and augmentations than theirs",
        "pictures that cubic interpolation carries beyond 0 or 255 are clipped; theirs wrap",
    ]
    if "edge" in done.experiment.tasks:
        found.append("odsF of edges is written to its definition; theirs is SEISM's, in MATLAB")
    if "normals" in done.experiment.tasks:
        found.append("normals are measured as they are; theirs went through 8 bit files")
    return found
