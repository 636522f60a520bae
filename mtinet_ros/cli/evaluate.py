# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate`: measure a model or a checkpoint on rendered or real rooms, or compare two."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import model_or_name, path, path_text, plain_text
from mtinet_ros.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mtinet_ros.datasets.intrinsics import Intrinsics
    from mtinet_ros.inference import Backend
    from mtinet_ros.model_card import ModelCard
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.training.evaluation import DensePrediction
    from mtinet_ros.training.evaluation_data import OpenedData
    from mtinet_ros.training.evaluation_gallery import Shelf
    from mtinet_ros.training.evaluation_report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "model",
        type=model_or_name,
        nargs="?",
        help="exported model (.onnx) or a checkpoint that `mtinet export` takes",
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
        "--data",
        type=path_text,
        metavar="DIR",
        help="folder written by `mtinet scenes`, or of NYU Depth V2",
    )
    parser.add_argument(
        "--kind",
        choices=("rooms", "nyud"),
        help="of data: rendered rooms or NYU Depth V2 (default: what the folder holds)",
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=0, help="the first so many (0: all)")
    parser.add_argument(
        "--whole-frame",
        action="store_true",
        help="measure the border without truth too, as published figures do; else it is cut off",
    )
    parser.add_argument(
        "--weights",
        choices=("ema", "model"),
        help="where a checkpoint holds both: the averaged weights (default), or those in training",
    )
    parser.add_argument("--backend", default="auto", help="what runs an exported model")
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
            if any(_is_same(target, file) for file in inputs if _is_report_file(file, arguments)):
                raise ConfigurationError(f"{target} is compared and cannot be written to as well")
            check_target(target, is_own)
    if arguments.compare:
        _compare(arguments)
    else:
        candidate = _candidate(arguments.model, arguments)
        data = _open_data(arguments, candidate.card)
        measured = _measure(candidate, data, arguments)
        _show(measured, arguments)
        if arguments.record:
            _record(candidate.path, measured.report, arguments.record)
    return 0


def _record(model: Path, report: Report, name: str) -> None:
    from mtinet_ros.export.figures import record_figures

    assert report.data is not None
    record_figures(model, name, report.data.split, report.frames, report.metrics)
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
    models = [file for file in inputs if not _is_report_file(file, arguments)]
    if models and not arguments.data:
        raise ConfigurationError(f"no data are named to measure {models[0]} on; add --data DIR")
    if not models and arguments.data:
        raise ConfigurationError(
            f"--data {arguments.data} goes with a model; {inputs[0]} and {inputs[1]} were measured"
        )
    if arguments.weights and models and all(_is_onnx(file) for file in models):
        raise ConfigurationError(
            f"--weights {arguments.weights} goes with a checkpoint; {models[0]} is an "
            "exported model, whose weights were chosen at its export"
        )
    if arguments.record and (arguments.compare or not _is_onnx(inputs[0])):
        raise ConfigurationError(
            f"--record {arguments.record} goes with one exported model (.onnx), whose card keeps "
            f"the figures; {inputs[0]} is "
            + ("compared: measure it alone" if arguments.compare else "none")
        )
    return inputs


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _is_onnx(file: Path) -> bool:
    return file.suffix.lower() == ".onnx"


def _is_report_file(file: Path, arguments: argparse.Namespace) -> bool:
    return bool(arguments.compare) and file.suffix.lower() == ".json"


def _is_own_json(there: Path) -> bool:
    """Whether a file is what --json wrote before."""
    import json

    from mtinet_ros.training.evaluation_report import is_report

    record = json.loads(there.read_text(encoding="utf-8"))
    return is_report(there) or (
        isinstance(record, dict) and set(record) == {"reports", "differences"}
    )


def _candidate(file: Path, arguments: argparse.Namespace) -> _Candidate:
    from mtinet_ros.export.checkpoint_backend import CheckpointBackend
    from mtinet_ros.inference import load_backend
    from mtinet_ros.model_card import read_model_card

    if _is_onnx(file):
        # Loading can mean to compile for minutes: the data are looked at first.
        card = read_model_card(file)
        return _Candidate(
            file, card, "", lambda: load_backend(file, arguments.backend, max_batch=1)
        )
    backend = CheckpointBackend(file, max_batch=1, choice=arguments.weights)
    return _Candidate(file, backend.card, backend.note, lambda: backend)


def _open_data(arguments: argparse.Namespace, card: ModelCard) -> OpenedData:
    from mtinet_ros.training.evaluation_data import open_data

    return open_data(
        Path(arguments.data),
        arguments.split,
        card.class_names,
        kind=arguments.kind or "",
        crop=not arguments.whole_frame,
    )


def _measure(candidate: _Candidate, data: OpenedData, arguments: argparse.Namespace) -> _Measured:
    """Walk a model over the frames."""
    from dataclasses import replace

    from tqdm import tqdm

    from mtinet_ros.onnx_file import read_onnx_file
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.training.evaluation import evaluate
    from mtinet_ros.training.evaluation_gallery import Gallery
    from mtinet_ros.training.evaluation_report import EvaluatedModel

    card, count = candidate.card, _count(data, arguments)
    gallery = Gallery(2 if arguments.compare else 3) if arguments.html else None
    backend = candidate.load()
    try:
        predict = _CameraSizePredictor(Predictor(backend))
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
    report = replace(
        report,
        model=EvaluatedModel(card.name, candidate.path.name, fingerprint, card.stated_precision),
        data=data.description,
        notes=tuple(filter(None, (candidate.note, *_caveats(card, report), *data.notes))),
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
    from functools import partial

    from mtinet_ros.output_files import write_file
    from mtinet_ros.training.evaluation_comparison import (
        check_same_data,
        compare,
        comparison_tables,
        to_comparison_record,
    )
    from mtinet_ros.training.evaluation_page import comparison_page
    from mtinet_ros.training.evaluation_report import Report, read_report, to_json
    from mtinet_ros.training.evaluation_tables import as_text, headline

    plans: list[tuple[Report, Callable[[], _Measured]]] = []
    for file in arguments.compare:
        if _is_report_file(file, arguments):
            read = read_report(file)
            plans.append((read, partial(_Measured, read)))
        else:
            one = _candidate(file, arguments)
            data = _open_data(arguments, one.card)
            expected = Report(_count(data, arguments), {}, data=data.description)
            plans.append((expected, partial(_measure, one, data, arguments)))
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


def _caveats(card: ModelCard, report: Report) -> list[str]:
    """What the figures do not say where depth or normals are not the contract's."""
    caveats = []
    frames = [frame for frame in report.frame_figures if frame.depth_abs_rel is not None]
    without_lens = sum(frame.depth_rmse is None for frame in frames)
    if card.has_metric_depth and without_lens:
        caveats.append(
            f"{without_lens} of {len(frames)} frames have no known lens: their depth is measured "
            "scaled alone"
        )
    if "depth" in card.tasks and not card.has_metric_depth:
        why = (
            f"the model's depth is {card.depth_kind}, not metric"
            if card.depth_kind != "metric"
            else "the focal length for which its depth is in metres is not known"
        )
        caveats.append(
            f"depth is measured up to scale: {why}; each frame is scaled to the median of the "
            "truth first, and no figure is in metres"
        )
    if "normals" in card.tasks and card.normals_axes != "camera_optical":
        caveats.append(
            f"normals are not measured: their axes are {card.normals_axes}; `mtinet export` with "
            "--preset or --normals-axes says how they point"
        )
    return caveats


class _CameraSizePredictor:
    """A `DensePredictor` that does what the node does when it publishes at the camera's size."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, image: NDArray[np.uint8], intrinsics: Intrinsics | None) -> DensePrediction:
        from mtinet_ros.perception.camera_model import CameraModel
        from mtinet_ros.perception.resample import resize_prediction
        from mtinet_ros.training.evaluation import DensePrediction

        height, width = image.shape[:2]
        camera = None
        if intrinsics is not None:
            f = intrinsics.focal_length
            camera = CameraModel.pinhole(width, height, f, f, intrinsics.cx, intrinsics.cy)
        found = resize_prediction(self._predictor.predict([image], [camera])[0], image)
        # Normals with unknown axes cannot be compared with any.
        card = self._predictor.card
        normals = found.normals if card.normals_axes == "camera_optical" else None
        # The predictor may reuse its buffers for the next frame.
        labels, depth, normals = (
            None if array is None else array.copy()
            for array in (found.labels, found.depth, normals)
        )
        return DensePrediction(labels, depth, normals, depth_is_metric=found.depth_is_metric)
