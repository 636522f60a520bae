# SPDX-License-Identifier: Apache-2.0
"""Shows what a model sees on the bundled real pictures, for eyes: nothing is measured.

    python evaluation/real_pictures.py models/mtinet_indoor.onnx -o real_pictures.png

The office, the Kinect's bookshelf and eight views around the hotel room, each as picture,
segmentation, depth and normals. Judge a model in training the same way: export
`latest.safetensors` first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mtinet_ros.demo.sources import hotel_room_shots, kinect_shot, office_shot
from mtinet_ros.image_files import write_png
from mtinet_ros.inference import load_backend
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.visualization.montage import Panel, frame_panels, montage


def main() -> None:
    """Predict every view and lay them out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    backend = load_backend(arguments.model, "auto", max_batch=1)
    predictor = Predictor(backend)
    card = backend.card
    panels: list[Panel] = []
    for image, camera in [office_shot(), kinect_shot(), *hotel_room_shots(45.0)]:
        prediction = predictor.predict([image], [camera])[0]
        views = frame_panels(
            prediction.image,
            card.palette,
            labels=prediction.labels,
            depth=prediction.depth,
            normals=prediction.normals,
        )
        panels += [(title, view.copy()) for title, view in views]  # buffers are used again
    backend.close()
    legend = list(zip(card.class_names, card.palette, strict=True))
    columns = 1 + len(card.tasks)
    write_png(arguments.output, montage(panels, legend, columns=columns))


if __name__ == "__main__":
    main()
