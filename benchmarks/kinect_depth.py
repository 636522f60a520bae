# SPDX-License-Identifier: Apache-2.0
"""Compares a model's depth with what a real Kinect measured: the bundled frame of a bookshelf.

    python benchmarks/kinect_depth.py models/mtinet_indoor.onnx

One frame says little, and nothing is tuned to it; but it is real. The depth camera sits beside the
colour camera, and the recording does not say exactly where: nominal values of the first Kinect are
used, so depth near edges is compared with a neighbour's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.inference import load_backend
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.perceiver import Perceiver
from mtinet_ros.perception.picture_file import read_picture

PICTURES = Path(__file__).parents[1] / "demo" / "pictures"
COLOUR_FOCAL_LENGTH = 521.2  # pixels, from the recording
DEPTH_FOCAL_LENGTH = 575.8  # pixels, nominal
BASELINE = 0.025  # metres from the depth to the colour camera, to the left in the picture


def seen_by_the_depth_camera(
    depth: NDArray[np.float32], measured: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The colour camera's depth [H, W] at the places that the depth camera's pixels see."""
    height, width = measured.shape
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    ratio = COLOUR_FOCAL_LENGTH / DEPTH_FOCAL_LENGTH
    shift = COLOUR_FOCAL_LENGTH * BASELINE / np.maximum(measured, 0.3)
    x, y = cx + (u - cx) * ratio + shift, cy + (v - cy) * ratio
    return np.asarray(
        cv2.remap(depth, x.astype(np.float32), y.astype(np.float32), cv2.INTER_NEAREST),
        np.float32,
    )


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    image = read_picture(PICTURES / "kinect_bookshelf.png")
    raw = cv2.imread(str(PICTURES / "kinect_bookshelf_depth_mm.png"), cv2.IMREAD_UNCHANGED)
    measured = raw.astype(np.float32) / 1000
    height, width = measured.shape
    focal = COLOUR_FOCAL_LENGTH
    camera = CameraModel.pinhole(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    backend = load_backend(arguments.model, "auto", max_batch=1)
    predicted = Perceiver(backend).perceive([image], [camera])[0].depth
    backend.close()
    if predicted is None:
        raise SystemExit(f"{arguments.model} has no depth")
    depth = seen_by_the_depth_camera(cv2.resize(predicted, (width, height)), measured)
    known = (measured > 0) & (depth > 0)
    d, z = depth[known], measured[known]
    ratio = np.maximum(d / z, z / d)
    print(f"{known.mean():.0%} of the pixels compared, {z.min():.2f} to {z.max():.2f} m")
    print(f"RMSE {np.sqrt(np.mean((d - z) ** 2)):.3f} m, delta < 1.25 {np.mean(ratio < 1.25):.3f}")
    best = float(np.exp(np.median(np.log(z / d))))
    ratio = np.maximum(d * best / z, z / (d * best))
    print(
        f"with the best scale {best:.2f}: RMSE {np.sqrt(np.mean((d * best - z) ** 2)):.3f} m, "
        f"delta < 1.25 {np.mean(ratio < 1.25):.3f}"
    )


if __name__ == "__main__":
    main()
