# SPDX-License-Identifier: Apache-2.0
"""`mtinet predict`: run a model on pictures, without ROS."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mtinet_ros.cli.options import add_cpu_arguments, cpu_settings, model_or_name, path
from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.image_files import list_images, png_bytes, read_images
from mtinet_ros.inference import BACKEND_CHOICES, load_backend
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.model_card import ModelCard, read_model_card
from mtinet_ros.output_files import ResultFolder, file_errors, npy_bytes
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.visualization.montage import UNTRAINED_NOTE, frame_panels, montage

# Ends of the results' names, by task.
_SUFFIXES = {"semseg": "labels.png", "depth": "depth.npy", "normals": "normals.npy"}
_CONFIDENCE = "confidence.png"
_MONTAGE = "montage.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "images", nargs="+", type=path, metavar="pictures", help="picture files or folders of them"
    )
    parser.add_argument("-o", "--output", type=path, required=True, help="folder for the results")
    parser.add_argument(
        "-m",
        "--model",
        type=model_or_name,
        help="ONNX model with a card (default: the bundled one)",
    )
    parser.add_argument("--backend", choices=BACKEND_CHOICES, default="auto")
    add_cpu_arguments(parser)
    parser.add_argument(
        "--focal-length",
        type=float,
        metavar="PIXELS",
        help="fx of the camera at the pictures' own size; without it depth is up to scale",
    )
    parser.add_argument("--fit", choices=("letterbox", "stretch"), default="")


def run(arguments: argparse.Namespace) -> int:
    """Predict each image and write labels, depth, normals and a montage of them.

    For an image NAME.jpg: NAME_labels.png (class ids, 255 void), NAME_depth.npy (float32, metres
    if the focal length is known), NAME_normals.npy (float32 unit vectors) and NAME_montage.png;
    of a model that has a confidence, NAME_confidence.png (255 certain).

    Returns:
        0; 1 if some pictures could not be read. They are named, and the others done.
    """
    _check_focal_length(arguments.focal_length)
    images = [file for path in arguments.images for file in list_images(path)]
    _check_names(images)
    if not any(os.path.exists(path) for path in images):  # then no folder is made for results
        with file_errors(f"read picture {images[0]}", InputError):
            images[0].stat()
    model = arguments.model or bundled_model()
    card = read_model_card(model)
    suffixes = [_SUFFIXES[task] for task in card.tasks if task in _SUFFIXES]
    suffixes += [_CONFIDENCE] if card.has_confidence else []
    results = ResultFolder(arguments.output)
    results.check(f"{path.stem}_{end}" for path in images for end in (*suffixes, _MONTAGE))
    backend = load_backend(model, arguments.backend, max_batch=1, cpu=cpu_settings(arguments))
    print(f"{backend.card.name} in {backend.name} on {backend.device}: {backend.precision}")
    bad: list[InputError] = []
    try:
        predictor = Predictor(backend, arguments.fit)
        for path, image in read_images(images, lambda error: _refuse(error, images, bad)):
            camera = _camera(image.shape[1], image.shape[0], arguments.focal_length)
            prediction = predictor.predict([image], [camera])[0]
            _write(results, path.stem, prediction, backend.card)
            print(f"{path}: {arguments.output / path.stem}_*{_about_depth(prediction)}")
    finally:
        backend.close()
    if backend.card.untrained:
        print(f"Note: the weights of {backend.card.name} are random; the results mean nothing.")
    if bad:
        raise InputError(f"{len(bad)} of {len(images)} pictures cannot be read, as said above")
    return 0


def _check_names(images: Sequence[Path]) -> None:
    stems = [path.stem for path in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise InputError(
            f"several pictures are called {', '.join(twice[:5])}, and their results would "
            "overwrite each other; predict them into separate folders"
        )


def _refuse(error: InputError, images: Sequence[Path], bad: list[InputError]) -> None:
    """Name a picture that cannot be read, and go on if there are others."""
    if len(images) == 1:
        raise error
    bad.append(error)
    print(f"mtinet predict: {error}", file=sys.stderr)


def _about_depth(prediction: Prediction) -> str:
    if prediction.depth is None:
        return ""
    if prediction.depth_is_metric:
        return ", depth in metres"
    why = "no --focal-length" if prediction.camera is None else "the model knows no metres"
    return f", depth up to scale ({why})"


def _check_focal_length(focal_length: float | None) -> None:
    if focal_length is not None and not 0.0 < focal_length < math.inf:
        raise ConfigurationError(
            f"--focal-length {focal_length:g} is not allowed; give a positive number of pixels"
        )


def _camera(width: int, height: int, focal_length: float | None) -> CameraModel | None:
    if focal_length is None:
        return None
    center = ((width - 1) / 2, (height - 1) / 2)
    return CameraModel.pinhole(width, height, focal_length, focal_length, *center)


def _write(results: ResultFolder, stem: str, prediction: Prediction, card: ModelCard) -> None:
    if prediction.labels is not None:
        results.write(f"{stem}_{_SUFFIXES['semseg']}", png_bytes(prediction.labels))
    if prediction.confidence is not None:
        results.write(f"{stem}_{_CONFIDENCE}", png_bytes(prediction.confidence))
    for task, array in (("depth", prediction.depth), ("normals", prediction.normals)):
        if array is not None:
            results.write(f"{stem}_{_SUFFIXES[task]}", npy_bytes(array))
    legend = list(zip(card.class_names, card.palette, strict=True))
    note = UNTRAINED_NOTE if card.untrained else ""
    panels = frame_panels(
        prediction.image,
        card.palette,
        labels=prediction.labels,
        depth=prediction.depth,
        normals=prediction.normals,
        confidence=prediction.confidence,
    )
    sheet = montage(panels, legend, note, columns=2 if len(panels) <= 4 else 3)
    results.write(f"{stem}_{_MONTAGE}", png_bytes(sheet))
