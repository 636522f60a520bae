# SPDX-License-Identifier: Apache-2.0
"""Shows what the lens has to do with depth: one picture, zoomed in, its lens told and not told.

    python evaluation/lens_depth.py models/mtinet_indoor.onnx -o docs/lens_depth.jpg

A longer lens is the bundled office cut at its middle and enlarged, which is what a longer lens
would have seen from the same place: fx grows with it and no distance changes. Depth is compared
with what the sensor measured, registered to the picture; one frame, so no judgement of a model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.demo.sources import bundled_images, office_shot
from mtinet_ros.inference import load_backend
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.visualization.colors import colorize_depth
from mtinet_ros.visualization.montage import Panel, montage

ZOOMS = (1.0, 1.25, 1.5, 1.75, 2.0)
SHOWN = (1.0, 1.5, 2.0)
COLORS = (0.8, 4.0)  # metres that the colors span


def zoomed(
    image: NDArray[np.uint8], camera: CameraModel, zoom: float
) -> tuple[NDArray[np.uint8], CameraModel]:
    """What a lens `zoom` times as long sees from the same place, uint8 [h,w,3], and that lens."""
    height, width = image.shape[:2]
    offset = (-(width * zoom - width) / 2, -(height * zoom - height) / 2)
    lens = camera.resampled((zoom, zoom), offset, (width, height))
    shift = np.array(
        [[zoom, 0, (zoom - 1) / 2 + offset[0]], [0, zoom, (zoom - 1) / 2 + offset[1]]]
    )
    how = cv2.INTER_LINEAR if image.ndim == 3 else cv2.INTER_NEAREST
    return np.asarray(cv2.warpAffine(image, shift, (width, height), flags=how), image.dtype), lens


def main() -> None:
    """Predict at every zoom, print a table, draw some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    backend = load_backend(arguments.model, "auto", max_batch=1)
    predictor = Predictor(backend)
    office, lens = office_shot()
    path = bundled_images() / "office_desk_depth_mm.png"
    sensor = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    panels: list[Panel] = []
    print("| zoom | fx | lens told | not told |\n|---|---|---|---|")
    for zoom in ZOOMS:
        image, camera = zoomed(office, lens, zoom)
        truth = zoomed(sensor, lens, zoom)[0].astype(np.float32) / 1000
        row: list[Panel] = [(f"fx {camera.K[0, 0]:.0f} pixels", image)]
        ratios = []
        for title, told in (("lens told", camera), ("lens not told", None)):
            depth = predictor.predict([image], [told])[0].depth
            if depth is None:
                raise SystemExit(f"{arguments.model} has no depth")
            known = cv2.resize(truth, depth.shape[::-1], interpolation=cv2.INTER_NEAREST)
            seen = (known > 0) & np.isfinite(depth)
            ratios.append(float(np.median(depth[seen] / known[seen])))
            titled = f"{title}: {ratios[-1]:.2f} of what was measured"
            row.append((titled, colorize_depth(depth.copy(), COLORS)))
        row.append(("measured", colorize_depth(truth, COLORS)))
        print(f"| {zoom:g} | {camera.K[0, 0]:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
        if zoom in SHOWN:
            panels += row
    backend.close()
    panels = [(title, cv2.resize(panel, (320, 240))) for title, panel in panels]
    sheet = cv2.cvtColor(montage(panels, columns=4), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(arguments.output), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
