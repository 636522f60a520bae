# SPDX-License-Identifier: Apache-2.0
"""`mtinet predict`: run a model on pictures, without ROS."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.image_files import list_images, read_image, write_png
from mtinet_ros.inference import BACKEND_CHOICES, load_backend
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.model_card import ModelCard
from mtinet_ros.output_files import make_folder, npy_bytes, write_file
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.visualization.montage import UNTRAINED_NOTE, frame_panels, montage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="pictures", help="picture files or folders of them"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "-m", "--model", type=Path, help="ONNX model with a card (default: the bundled one)"
    )
    parser.add_argument("--backend", choices=BACKEND_CHOICES, default="auto")
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
    if the focal length is known), NAME_normals.npy (float32 unit vectors) and NAME_montage.png.
    """
    images = [file for path in arguments.images for file in list_images(path)]
    stems = [path.stem for path in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise InputError(
            f"several pictures are called {', '.join(twice[:5])}, and their results would "
            "overwrite each other; predict them into separate folders"
        )
    backend = load_backend(arguments.model or bundled_model(), arguments.backend, max_batch=1)
    try:
        predictor = Predictor(backend, arguments.fit)
        for path in images:
            image = read_image(path)
            camera = _camera(image.shape[1], image.shape[0], arguments.focal_length)
            prediction = predictor.predict([image], [camera])[0]
            _write(arguments.output, path.stem, prediction, backend.card)
            print(f"{path}: {arguments.output / path.stem}_*{_about_depth(prediction)}")
    finally:
        backend.close()
    if backend.card.untrained:
        print(f"Note: the weights of {backend.card.name} are random; the results mean nothing.")
    return 0


def _about_depth(prediction: Prediction) -> str:
    if prediction.depth is None:
        return ""
    if prediction.depth_is_metric:
        return ", depth in metres"
    why = "no --focal-length" if prediction.camera is None else "the model knows no metres"
    return f", depth up to scale ({why})"


def _camera(width: int, height: int, focal_length: float | None) -> CameraModel | None:
    if focal_length is None:
        return None
    if not 0.0 < focal_length < math.inf:
        raise ConfigurationError(
            f"--focal-length {focal_length:g} is not allowed; give a positive number of pixels"
        )
    center = ((width - 1) / 2, (height - 1) / 2)
    return CameraModel.pinhole(width, height, focal_length, focal_length, *center)


def _write(folder: Path, stem: str, prediction: Prediction, card: ModelCard) -> None:
    make_folder(folder)
    if prediction.labels is not None:
        write_png(folder / f"{stem}_labels.png", prediction.labels)
    for name, array in (("depth", prediction.depth), ("normals", prediction.normals)):
        if array is not None:
            write_file(folder / f"{stem}_{name}.npy", npy_bytes(array))
    legend = list(zip(card.class_names, card.palette, strict=True))
    note = UNTRAINED_NOTE if card.untrained else ""
    panels = frame_panels(
        prediction.image,
        card.palette,
        labels=prediction.labels,
        depth=prediction.depth,
        normals=prediction.normals,
    )
    write_png(folder / f"{stem}_montage.png", montage(panels, legend, note))
