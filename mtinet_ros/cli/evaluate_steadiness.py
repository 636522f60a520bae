# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate --steadiness`: how steadily a model sees a video, without truth."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.evaluate_recording import interval_of
from mtinet_ros.cli.options import cpu_settings
from mtinet_ros.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from mtinet_ros.offline.steadiness import SteadinessRun
    from mtinet_ros.recordings.frame import RecordedFrame, Source

# Figure -> what it is for people, whether it is a share or a relative error.
_FIGURES = {
    "flicker": "labels that change along the flow",
    "flicker_beyond_edges": "the same, but for a pixel at edges",
    "label_consistency": "mIoU of labels and labels along the flow",
    "depth_jitter": "jitter of depth",
    "depth_scale_jitter": "of all depth in a picture at once",
    "depth_local_jitter": "of points against each other",
    "noise_flicker": "labels that change by noise alone",
    "noise_depth_jitter": "depth that changes by noise alone",
    "followed": "pixels whose points were followed",
}
_LEAST_FOLLOWED_WELL = 0.5


def is_own_record(there: Path) -> bool:
    """Whether a file is what --json wrote of --steadiness before."""
    record = json.loads(there.read_text(encoding="utf-8"))
    return isinstance(record, dict) and {"recording", "steadiness"} <= set(record)


def run_steadiness(arguments: argparse.Namespace) -> None:
    """Measure one model, or two on the same pictures; print and write.

    Raises:
        ConfigurationError: Options make no sense.
        InputError: The recording cannot be read.
    """
    from mtinet_ros.output_files import write_file

    models: list[Path] = arguments.compare or [arguments.model]
    runs = {}
    for model in models:
        runs[model] = _measure(model, arguments)
    names = [model.name for model in models]
    first = runs[models[0]]
    print(f"{arguments.steadiness}: {first.frames} pictures, {first.steadiness.cuts} cuts")
    for sentence in _notes(first):
        print(f"note: {sentence}")
    print(f"\n{_table(names, [run.steadiness.figures() for run in runs.values()])}")
    for model, run in runs.items():
        worst = ", ".join(f"{name} {share:.1%}" for name, share in run.worst())
        if worst:
            print(f"\nmost flicker of {model.name}: {worst}")
    if arguments.json:
        record = {
            "recording": Path(arguments.steadiness).resolve().name,
            "noise": arguments.noise or 0.0,
            "steadiness": {model.name: run.record() for model, run in runs.items()},
        }
        write_file(arguments.json, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def check_steadiness_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what does not go with --steadiness.

    Raises:
        ConfigurationError: Something does not.
    """
    for option in ("data", "html", "record", "single_task", "weights", "preset"):
        value = getattr(arguments, option)
        if value:
            shown = value if isinstance(value, str | Path) else value[0]
            raise ConfigurationError(
                f"--{option.replace('_', '-')} {shown} does not go with --steadiness; there is no "
                "truth to measure against"
                if option in ("data", "html", "record", "single_task")
                else f"--{option} {shown} goes with a checkpoint; --steadiness is measured on "
                "exported models"
            )
    models: list[Path] = arguments.compare or [arguments.model]
    for model in models:
        if model.suffix.lower() != ".onnx":
            raise ConfigurationError(
                f"{model} is no exported model (.onnx); --steadiness is measured on what a robot "
                "runs: `mtinet export` makes it"
            )
    if arguments.compare and models[0].name == models[1].name:
        raise ConfigurationError(f"both models are called {models[0].name}; rename one")


def _measure(model: Path, arguments: argparse.Namespace) -> SteadinessRun:
    from tqdm import tqdm

    from mtinet_ros.inference import load_backend
    from mtinet_ros.offline.steadiness import measure_steadiness
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.recordings.open import SourceOptions, open_source

    topics = (arguments.topic,) if arguments.topic else ()
    options = SourceOptions(topics, topics_option="--topic")
    source = open_source(Path(arguments.steadiness), options)
    try:
        backend = load_backend(model, arguments.backend, max_batch=1, cpu=cpu_settings(arguments))
        try:
            with tqdm(total=_expected(source, arguments), unit="frame", desc=model.name) as bar:
                run = measure_steadiness(
                    Predictor(backend),
                    _frames(source, arguments),
                    noise=arguments.noise or 0.0,
                    progress=bar.update,
                )
        finally:
            backend.close()
        run.unreadable += source.problems
    finally:
        source.close()
    _check_found(run, arguments)
    return run


def _frames(source: Source, arguments: argparse.Namespace) -> Iterator[RecordedFrame]:
    from mtinet_ros.recordings.frame import RecordedFrame

    entries = source.read(interval_of(source, arguments))
    frames = (entry for entry in entries if isinstance(entry, RecordedFrame))
    return itertools.islice(frames, arguments.frames or None)


def _expected(source: Source, arguments: argparse.Namespace) -> int | None:
    """How many pictures there will be, if the recording says and all of it is measured."""
    counts = [camera.frames for camera in source.cameras]
    if arguments.start is not None or arguments.end is not None or None in counts:
        return arguments.frames or None
    total = sum(count or 0 for count in counts)
    return min(total, arguments.frames or total)


def _check_found(run: SteadinessRun, arguments: argparse.Namespace) -> None:
    if run.steadiness.labels or run.steadiness.depth:
        return
    why = f"; {run.unreadable[0]}" if run.unreadable else ""
    raise InputError(
        f"{arguments.steadiness} has no two pictures after each other that show the same "
        f"({run.frames} pictures, {run.steadiness.cuts} cuts){why}; give a video"
    )


def _notes(run: SteadinessRun) -> list[str]:
    found = list(run.unreadable)
    followed = run.steadiness.figures().get("followed", 0.0)
    if followed < _LEAST_FOLLOWED_WELL:
        found.append(
            f"{followed:.0%} of the pixels were followed from picture to picture; the others may "
            "flicker more: a faster camera or less blur makes the figures surer"
        )
    return found


def _table(names: Sequence[str], figures: Sequence[Mapping[str, float]]) -> str:
    from mtinet_ros.training.evaluation_tables import Table, as_text

    rows = tuple(
        (meaning, *(f"{found[key]:.2%}" if key in found else "-" for found in figures))
        for key, meaning in _FIGURES.items()
        if any(key in found for found in figures)
    )
    return as_text(Table("Steadiness", ("", *names), rows))
