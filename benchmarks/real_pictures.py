# SPDX-License-Identifier: Apache-2.0
"""Shows what a model sees on the bundled real pictures, for eyes: nothing is measured.

    python benchmarks/real_pictures.py models/mtinet_indoor.onnx -o real_pictures.png

Eight views around the hotel room and the Kinect's bookshelf, each as picture, segmentation, depth
and normals. Judge a model in training the same way: export `latest.safetensors` first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mtinet_ros.inference import load_backend
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.montage import montage, prediction_panels
from mtinet_ros.perception.panorama import look_into_panorama, pinhole_for_view
from mtinet_ros.perception.perceiver import Perceiver
from mtinet_ros.perception.picture_file import read_picture, write_png

PICTURES = Path(__file__).parents[1] / "demo" / "pictures"
KINECT_FOCAL_LENGTH = 521.2  # pixels


def main() -> None:
    """Predict every view and lay them out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    room = read_picture(PICTURES / "hotel_room_panorama.jpg")
    view = pinhole_for_view(640, 480, horizontal_fov=75.0)
    shots = [(look_into_panorama(room, view, yaw, -8.0), view) for yaw in range(0, 360, 45)]
    shelf = read_picture(PICTURES / "kinect_bookshelf.png")
    height, width = shelf.shape[:2]
    focal = KINECT_FOCAL_LENGTH
    camera = CameraModel.pinhole(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    backend = load_backend(arguments.model, "auto", max_batch=1)
    perceiver = Perceiver(backend)
    card = backend.card
    sheets = []
    for image, lens in [*shots, (shelf, camera)]:
        prediction = perceiver.perceive([image], [lens])[0]
        sheets.append(montage(prediction_panels(prediction, card)))
    backend.close()
    rows = [np.hstack(sheets[first : first + 3]) for first in range(0, len(sheets), 3)]
    sheet = np.vstack(rows)
    legend = montage([("", sheet[:1])], list(zip(card.class_names, card.palette, strict=True)))[
        -44:, : sheet.shape[1]
    ]
    legend = np.pad(legend, ((0, 0), (0, sheet.shape[1] - legend.shape[1]), (0, 0)))
    write_png(arguments.output, np.vstack([sheet, legend]))


if __name__ == "__main__":
    main()
