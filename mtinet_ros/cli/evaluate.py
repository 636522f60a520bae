# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate`: measure a model on labelled pictures, a bag or a video, or compare two."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.evaluate_options import (
    add_arguments,
    is_onnx,
    is_report_file,
    is_same,
    named_inputs,
)
from mtinet_ros.cli.evaluate_recording import is_bag, open_recording_data
from mtinet_ros.cli.evaluate_steadiness import is_own_record, run_steadiness
from mtinet_ros.cli.options import cpu_settings
from mtinet_ros.errors import ConfigurationError

__all__ = ["add_arguments", "run"]

if TYPE_CHECKING:
    from torch import Tensor

    from mtinet_ros.inference import Backend
    from mtinet_ros.model_card import ModelCard
    from mtinet_ros.training.evaluation_data import OpenedData
    from mtinet_ros.training.evaluation_gallery import Shelf
    from mtinet_ros.training.evaluation_report import Report


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

    inputs = named_inputs(arguments)
    if arguments.steadiness:
        if arguments.json:
            check_target(arguments.json, is_own_record)
        run_steadiness(arguments)  # which needs no PyTorch
        return 0
    from mtinet_ros.training.evaluation_page import is_page

    for target, is_own in ((arguments.json, _is_own_json), (arguments.html, is_page)):
        if target:
            if any(is_same(target, file) for file in inputs if is_report_file(file)):
                raise ConfigurationError(f"{target} is read and cannot be written to as well")
            check_target(target, is_own)
    if arguments.compare:
        _compare(arguments)
    else:
        if arguments.record:  # what keeps it from that is told before all is measured
            from mtinet_ros.export.onnx_graph import rewritable_card

            rewritable_card(arguments.model)
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

    if is_report_file(file):
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


def _is_own_json(there: Path) -> bool:
    """Whether a file is what --json wrote before."""
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

    if is_onnx(file):
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

    if arguments.truth:
        return open_recording_data(arguments, card)
    if is_bag(Path(arguments.data)):
        raise ConfigurationError(
            f"{arguments.data} is a bag; name its topics of truth by --truth, e.g. --truth "
            "depth=TOPIC, or measure without any by --steadiness"
        )
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
    there = data.tasks if count else ()
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
    data.check()
    fingerprint = read_onnx_file(candidate.path).fingerprint if is_onnx(candidate.path) else ""
    published = "resized as the paper's authors do" if arguments.as_published else ""
    report = replace(
        report,
        model=EvaluatedModel(card.name, candidate.path.name, fingerprint, backend.precision),
        data=data.description,
        notes=tuple(
            filter(None, (candidate.note, published, *caveats(card, report), *data.all_notes()))
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
