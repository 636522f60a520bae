# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate`: measure a model or a checkpoint on rendered or real rooms, or compare two."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import (
    add_cpu_arguments,
    cpu_settings,
    model_or_name,
    path,
    path_text,
    plain_text,
)
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import CpuSettings

if TYPE_CHECKING:
    from torch import Tensor

    from mtinet_ros.inference import Backend
    from mtinet_ros.model_card import ModelCard
    from mtinet_ros.training.evaluation_data import OpenedData
    from mtinet_ros.training.evaluation_gallery import Shelf
    from mtinet_ros.training.evaluation_report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "model",
        type=model_or_name,
        nargs="?",
        help="exported model (.onnx), a checkpoint, or a report (.json) written earlier",
    )
    parser.add_argument(
        "--compare",
        type=model_or_name,
        nargs=2,
        metavar=("A", "B"),
        help="instead of one model: two of them, measured on the same frames, or reports (.json) "
        "written earlier",
    )
    parser.add_argument(
        "--single-task",
        type=path,
        nargs="+",
        metavar="REPORT",
        help="reports (.json) of single-task networks on the same data: adds by how much the "
        "model is better than these, by task and in the mean (multi-task performance)",
    )
    parser.add_argument(
        "--data",
        type=path_text,
        metavar="DIR",
        help="folder written by `mtinet scenes`, or of NYU Depth V2, PASCAL_MT or UrbanLF",
    )
    parser.add_argument(
        "--kind",
        choices=("rooms", "nyud", "pascal", "urbanlf"),
        help="of data (default: what the folder holds)",
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=0, help="the first so many (0: all)")
    parser.add_argument(
        "--whole-frame",
        action="store_true",
        help="measure the border without truth too, as published figures do; else it is cut off",
    )
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="measure as the paper's results were: --whole-frame, and pictures and predictions "
        "resized as its authors do instead of as a robot does",
    )
    parser.add_argument(
        "--weights",
        choices=("ema", "model"),
        help="where a checkpoint holds both: the averaged weights (default), or those in training",
    )
    parser.add_argument(
        "--preset",
        choices=("nyud", "pascal"),
        help="data that a checkpoint of the authors was trained on, which the file does not say: "
        "its size, classes, unit of depth, axes of normals",
    )
    parser.add_argument("--backend", default="auto", help="what runs an exported model")
    add_cpu_arguments(parser)
    parser.add_argument(
        "--record",
        metavar="NAME",
        type=plain_text,
        help="also put the figures into the card of the exported model, as of NAME, e.g. "
        "'real rooms'",
    )
    parser.add_argument("--json", type=path, metavar="FILE", help="also write the figures there")
    parser.add_argument(
        "--html",
        type=path,
        metavar="FILE",
        help="also write a page with the worst and best frames",
    )


@dataclass(frozen=True)
class _Candidate:
    """A model that can be measured: its card is known, it is loaded when it is its turn."""

    path: Path
    card: ModelCard
    note: str
    load: Callable[[], Backend]
    further: Callable[[], Mapping[str, Tensor]] = dict  # see `CameraSizePredictor`


@dataclass(frozen=True)
class _Measured:
    report: Report
    shelves: Sequence[Shelf] = ()


def run(arguments: argparse.Namespace) -> int:
    """Measure or compare, print and write; returns 0."""
    from mtinet_ros.output_files import check_target
    from mtinet_ros.training.evaluation_page import is_page

    inputs = _inputs(arguments)
    for target, is_own in ((arguments.json, _is_own_json), (arguments.html, is_page)):
        if target:
            if any(_is_same(target, file) for file in inputs if _is_report_file(file)):
                raise ConfigurationError(f"{target} is read and cannot be written to as well")
            check_target(target, is_own)
    if arguments.compare:
        _compare(arguments)
    else:
        expected, measure = _plan(arguments.model, arguments)
        single_tasks = _single_tasks(expected, arguments)
        measured = _beside(measure(), single_tasks)
        _show(measured, arguments)
        if arguments.record:
            _record(arguments.model, measured.report, arguments.record)
    return 0


def _single_tasks(expected: Report, arguments: argparse.Namespace) -> list[tuple[Path, Report]]:
    """The reports of --single-task, refused before the work if they are of no use."""
    from mtinet_ros.training.evaluation_comparison import check_same_data
    from mtinet_ros.training.evaluation_gain import check_single
    from mtinet_ros.training.evaluation_report import read_report

    reports = [(file, read_report(file)) for file in arguments.single_task or ()]
    for file, report in reports:
        check_same_data(expected, report)
        check_single(report, file)
    return reports


def _beside(measured: _Measured, single_tasks: Sequence[tuple[Path, Report]]) -> _Measured:
    from dataclasses import replace

    from mtinet_ros.training.evaluation_gain import against_single_tasks

    if not single_tasks:
        return measured
    found = against_single_tasks(measured.report, single_tasks)
    return replace(measured, report=replace(measured.report, single_tasks=found))


def _plan(file: Path, arguments: argparse.Namespace) -> tuple[Report, Callable[[], _Measured]]:
    """What is known of a report before the work, and the work."""
    from functools import partial

    from mtinet_ros.training.evaluation_report import Report, read_report

    if _is_report_file(file):
        read = read_report(file)
        return read, partial(_Measured, read)
    candidate = _candidate(file, arguments)
    data = _open_data(arguments, candidate.card)
    expected = Report(_count(data, arguments), {}, data=data.description)
    return expected, partial(_measure, candidate, data, arguments)


def _record(model: Path, report: Report, name: str) -> None:
    from mtinet_ros.export.figures import record_figures

    assert report.data is not None
    assert report.model is not None
    record_figures(
        model,
        name,
        report.data.split,
        report.frames,
        report.metrics,
        report.model.precision,
    )
    print(f"\nrecorded in the card of {model} as {name}")


def _inputs(arguments: argparse.Namespace) -> list[Path]:
    """The files that the command line names, once it makes sense."""
    if arguments.frames < 0:
        raise ConfigurationError(f"--frames is {arguments.frames}; 0 (all) or more")
    if (arguments.model is None) == (arguments.compare is None):
        what = "no model is named" if arguments.model is None else (
            f"{arguments.model} stands beside --compare"
        )  # fmt: skip
        raise ConfigurationError(f"{what}; name one model, or two files after --compare")
    if arguments.json and arguments.html and _is_same(arguments.json, arguments.html):
        raise ConfigurationError(f"--json and --html both name {arguments.json}; name two files")
    inputs: list[Path] = arguments.compare or [arguments.model]
    models = [file for file in inputs if not _is_report_file(file)]
    if arguments.single_task and arguments.compare:
        raise ConfigurationError(
            "--single-task goes with one multi-task model and stands beside --compare; measure "
            "each model alone"
        )
    if models and not arguments.data:
        raise ConfigurationError(f"no data are named to measure {models[0]} on; add --data DIR")
    if not models and arguments.data:
        raise ConfigurationError(
            f"--data {arguments.data} goes with a model; {inputs[0]} holds figures already"
        )
    if arguments.weights and models and all(_is_onnx(file) for file in models):
        raise ConfigurationError(
            f"--weights {arguments.weights} goes with a checkpoint; {models[0]} is an "
            "exported model, whose weights were chosen at its export"
        )
    if arguments.preset and any(_is_onnx(file) for file in models):
        raise ConfigurationError(
            f"--preset {arguments.preset} goes with a checkpoint; an exported model's card says it"
        )
    if cpu_settings(arguments) != CpuSettings() and not any(_is_onnx(file) for file in models):
        raise ConfigurationError(
            "--cpu-precision and --cpu-threads go with an exported model; a checkpoint is "
            "computed by PyTorch in float32"
        )
    if arguments.record and (arguments.compare or not _is_onnx(inputs[0])):
        raise ConfigurationError(
            f"--record {arguments.record} goes with one exported model (.onnx), whose card keeps "
            f"the figures; {inputs[0]} is "
            + ("compared: measure it alone" if arguments.compare else "none")
        )
    return [*inputs, *(arguments.single_task or ())]


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _is_onnx(file: Path) -> bool:
    return file.suffix.lower() == ".onnx"


def _is_report_file(file: Path) -> bool:
    return file.suffix.lower() == ".json"


def _is_own_json(there: Path) -> bool:
    """Whether a file is what --json wrote before."""
    import json

    from mtinet_ros.training.evaluation_report import is_report

    record = json.loads(there.read_text(encoding="utf-8"))
    return is_report(there) or (
        isinstance(record, dict) and set(record) == {"reports", "differences"}
    )


def _candidate(file: Path, arguments: argparse.Namespace) -> _Candidate:
    from functools import partial

    from mtinet_ros.export.checkpoint_backend import CheckpointBackend
    from mtinet_ros.export.presets import PRESETS
    from mtinet_ros.inference import load_backend
    from mtinet_ros.model_card import read_model_card

    if _is_onnx(file):
        # Loading can mean to compile for minutes: the data are looked at first.
        card = read_model_card(file)
        cpu = cpu_settings(arguments)
        load = partial(load_backend, file, arguments.backend, max_batch=1, cpu=cpu)
        return _Candidate(file, card, "", load)
    preset = PRESETS.get(arguments.preset)
    backend = CheckpointBackend(file, max_batch=1, choice=arguments.weights, preset=preset)
    return _Candidate(file, backend.card, backend.note, lambda: backend, lambda: backend.further)


def _open_data(arguments: argparse.Namespace, card: ModelCard) -> OpenedData:
    from mtinet_ros.training.evaluation_data import open_data

    return open_data(
        Path(arguments.data),
        arguments.split,
        card.class_names,
        kind=arguments.kind or "",
        crop=not (arguments.whole_frame or arguments.as_published),
    )


def _measure(candidate: _Candidate, data: OpenedData, arguments: argparse.Namespace) -> _Measured:
    """Walk a model over the frames."""
    from dataclasses import replace

    from tqdm import tqdm

    from mtinet_ros.onnx_file import read_onnx_file
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.training.evaluation import evaluate
    from mtinet_ros.training.evaluation_gallery import Gallery
    from mtinet_ros.training.evaluation_predictor import CameraSizePredictor, caveats
    from mtinet_ros.training.evaluation_report import EvaluatedModel

    card, count = candidate.card, _count(data, arguments)
    there = tuple(data.source[0].targets) if count else ()
    if there and not set(card.tasks) & set(there):
        raise ConfigurationError(
            f"{candidate.path} predicts {', '.join(card.tasks)} and the data have truth for "
            f"{', '.join(there)}: there is nothing to measure; name other data"
        )
    gallery = Gallery(2 if arguments.compare else 3) if arguments.html else None
    backend = candidate.load()
    try:
        predict = CameraSizePredictor(
            Predictor(backend), candidate.further, as_published=arguments.as_published
        )
        with tqdm(total=count, unit="frame", desc=candidate.path.name) as bar:
            report = evaluate(
                predict,
                data.source,
                range(count),
                len(data.source.class_names),
                bar.update,
                observe=gallery.offer if gallery else lambda _f, _s, _p: None,
                frame_name=data.frame_name,
            )
    finally:
        backend.close()
    fingerprint = read_onnx_file(candidate.path).fingerprint if _is_onnx(candidate.path) else ""
    published = "resized as the paper's authors do" if arguments.as_published else ""
    report = replace(
        report,
        model=EvaluatedModel(card.name, candidate.path.name, fingerprint, backend.precision),
        data=data.description,
        notes=tuple(
            filter(None, (candidate.note, published, *caveats(card, report), *data.notes))
        ),
    )
    return _Measured(report, gallery.shelves() if gallery else ())


def _count(data: OpenedData, arguments: argparse.Namespace) -> int:
    return min(arguments.frames or len(data.source), len(data.source))


def _show(measured: _Measured, arguments: argparse.Namespace) -> None:
    from mtinet_ros.output_files import write_file
    from mtinet_ros.training.evaluation_page import report_page
    from mtinet_ros.training.evaluation_report import to_json, to_record
    from mtinet_ros.training.evaluation_tables import as_text, headline, report_tables

    report = measured.report
    print(headline(report))
    for note in report.notes:
        print(f"note: {note}")
    for table in report_tables(report):
        print(f"\n{as_text(table)}")
    # After the table, so that a full disk does not take the figures along.
    if arguments.json:
        write_file(arguments.json, to_json(to_record(report)))
    if arguments.html:
        write_file(arguments.html, report_page(report, measured.shelves))


def _compare(arguments: argparse.Namespace) -> None:
    from mtinet_ros.output_files import write_file
    from mtinet_ros.training.evaluation_comparison import (
        check_same_data,
        compare,
        comparison_tables,
        to_comparison_record,
    )
    from mtinet_ros.training.evaluation_page import comparison_page
    from mtinet_ros.training.evaluation_report import to_json
    from mtinet_ros.training.evaluation_tables import as_text, headline

    plans = [_plan(file, arguments) for file in arguments.compare]
    check_same_data(plans[0][0], plans[1][0])  # before the work as well
    a, b = (measure() for _, measure in plans)
    comparison = compare(a.report, b.report)
    common = [note for note in a.report.notes if note in b.report.notes]
    for name, measured in (("A", a), ("B", b)):
        print(f"{name}: {headline(measured.report)}")
        for note in measured.report.notes:
            if note not in common:
                print(f"note: {name}: {note}")
    for note in common:
        print(f"note: {note}")
    for table in comparison_tables(comparison):
        print(f"\n{as_text(table)}")
    if arguments.json:
        write_file(arguments.json, to_json(to_comparison_record(comparison)))
    if arguments.html:
        write_file(arguments.html, comparison_page(comparison, (a.shelves, b.shelves)))
