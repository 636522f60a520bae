# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate`: measure a model or a checkpoint on rendered rooms."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import model_path, path, path_text
from mtinet_ros.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mtinet_ros.datasets.intrinsics import Intrinsics
    from mtinet_ros.model_card import ModelCard
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.training.evaluation import DensePrediction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "model",
        type=model_path,
        help="exported model (.onnx) or a checkpoint that `mtinet export` takes",
    )
    parser.add_argument(
        "--data", type=path_text, required=True, help="folder written by `mtinet scenes`"
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=0, help="the first so many (0: all)")
    parser.add_argument(
        "--weights",
        choices=("ema", "model"),
        help="where a checkpoint holds both: the averaged weights (default), or those in training",
    )
    parser.add_argument("--backend", default="auto", help="what runs an exported model")
    parser.add_argument("--json", type=path, metavar="FILE", help="also write the figures there")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; returns 0."""
    import json
    from dataclasses import asdict

    from tqdm import tqdm

    from mtinet_ros.datasets.sources import open_samples
    from mtinet_ros.export.checkpoint_backend import CheckpointBackend
    from mtinet_ros.inference import Backend, load_backend
    from mtinet_ros.output_files import check_target, write_file
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.training.evaluation import evaluate

    if arguments.frames < 0:
        raise ConfigurationError(f"--frames is {arguments.frames}; 0 (all) or more")
    if arguments.json:
        check_target(arguments.json, _is_report)
    source = open_samples("rooms", arguments.data, arguments.split)
    count = min(arguments.frames or len(source), len(source))
    backend: Backend
    notes = []
    if arguments.model.suffix.lower() == ".onnx":
        if arguments.weights:
            raise ConfigurationError(
                f"--weights {arguments.weights} goes with a checkpoint; {arguments.model} is an "
                "exported model, whose weights were chosen at its export"
            )
        backend = load_backend(arguments.model, arguments.backend, max_batch=1)
    else:
        backend = CheckpointBackend(arguments.model, max_batch=1, choice=arguments.weights)
        notes.append(backend.note)
    try:
        _check_classes(backend.card.class_names, source.class_names)
        predict = _CameraSizePredictor(Predictor(backend))
        with tqdm(total=count, unit="frame") as bar:
            report = evaluate(predict, source, range(count), len(source.class_names), bar.update)
        notes += _caveats(backend.card)
    finally:
        backend.close()
    if arguments.json:
        write_file(arguments.json, json.dumps(asdict(report), indent=2) + "\n")
    print(f"{report.frames} frames of {arguments.data}, split {arguments.split}")
    for note in filter(None, notes):
        print(f"note: {note}")
    for name, value in report.metrics.items():
        print(f"  {name:22} {value:8.4f}")
    for name, iou in zip(source.class_names, report.class_iou, strict=False):  # or no IoU at all
        print(f"  IoU {name:18} {iou:8.4f}")
    return 0


def _is_report(there: Path) -> bool:
    """Whether a file is what --json wrote before."""
    import json

    report = json.loads(there.read_text(encoding="utf-8"))
    return isinstance(report, dict) and {"frames", "metrics", "class_iou"} <= set(report)


def _caveats(card: ModelCard) -> list[str]:
    """What the figures do not say of a model whose depth or normals are not the contract's."""
    caveats = []
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


def _check_classes(names: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Refuse a model of other classes; one whose classes nobody named is taken at its word."""
    known = names != tuple(f"class {number}" for number in range(len(names)))
    if names and (len(names) != len(wanted) or (known and names != wanted)):
        raise ConfigurationError(
            f"the model tells {len(names)} classes ({', '.join(names[:3])}, ...) and the data "
            f"have {len(wanted)} ({', '.join(wanted[:3])}, ...): only the same can be measured"
        )


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
        return DensePrediction(labels, depth, normals, depth_is_metric=card.has_metric_depth)
