# SPDX-License-Identifier: Apache-2.0
"""What a model says of every picture that the cameras show; a process of its own computes it.

python -m benchmarks.node_speed.expectations MODEL BACKEND HEIGHTxWIDTH OUTPUT.npz
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.node_speed.answers import PictureJudge
from benchmarks.node_speed.pictures import CAMERAS, ROOT, camera_of, views, write_mark
from benchmarks.node_speed.subscriber_process import grid_sample

_TOPICS = {
    "labels": "segmentation/image",
    "depth": "depth/image",
    "normals": "normals/image",
}


def picture_judge(model: Path, backend: str, size: tuple[int, int], folder: Path) -> PictureJudge:
    """The judge of a model's answers to images of (height, width)."""
    path = folder / f"expected_{size[0]}x{size[1]}.npz"
    command = [sys.executable, "-m", __name__, str(model), backend, f"{size[0]}x{size[1]}"]
    subprocess.run([*command, str(path)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    expected: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    with np.load(path) as file:
        for name in file.files:
            topic, camera, picture = name.rsplit(" ", 2)
            expected.setdefault((int(camera), int(picture)), {})[topic] = file[name]
    path.unlink()
    return PictureJudge(expected)


def main() -> None:
    """Predict all pictures and keep samples of the outputs."""
    from mtinet_ros.inference import load_backend
    from mtinet_ros.perception.predictor import Predictor

    model, name, size, path = sys.argv[1:]
    height, width = (int(number) for number in size.split("x"))
    backend = load_backend(model, name, 1)
    predictor = Predictor(backend)
    lens = (backend.card.input_size, backend.card.focal_length or 1.0)
    camera = camera_of((height, width), *lens)
    samples = {}
    for number in range(CAMERAS):
        for picture, image in enumerate(views(number, camera)):
            write_mark(image, number, picture)
            (prediction,) = predictor.predict([image[..., ::-1]], [camera])
            for output, topic in _TOPICS.items():
                array = getattr(prediction, output)
                sample = grid_sample(array.reshape(*prediction.size, -1))
                samples[f"{topic} {number} {picture}"] = sample
    backend.close()
    np.savez(path, **samples)


if __name__ == "__main__":
    main()
