# SPDX-License-Identifier: Apache-2.0
"""Compares a model's depth with what real sensors measured: the bundled bookshelf and office.

    python evaluation/kinect_depth.py models/mtinet_indoor.onnx

Two frames say little, and nothing is tuned to them; but they are real. The bookshelf's depth
camera sits beside the color camera, and the recording does not say exactly where: nominal values
of the first Kinect are used, so depth near edges is compared with a neighbor's. The office's depth
is registered to its color image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mtinet_ros.demo.sources import KINECT_FOCAL_LENGTH, bundled_images, kinect_shot, office_shot
from mtinet_ros.inference import load_backend
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.training.metrics import DepthMetric

DEPTH_FOCAL_LENGTH = 575.8  # pixels, nominal
BASELINE = 0.025  # metres from the depth to the colour camera, to the left in the picture


def depth_in_the_depth_camera(
    depth: NDArray[np.float32], measured: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The colour camera's depth [H, W] at the places that the depth camera's pixels see."""
    height, width = measured.shape
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    ratio = KINECT_FOCAL_LENGTH / DEPTH_FOCAL_LENGTH
    shift = KINECT_FOCAL_LENGTH * BASELINE / np.maximum(measured, 0.3)
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
    backend = load_backend(arguments.model, "auto", max_batch=1)
    predictor = Predictor(backend)
    for name, (image, camera) in (
        ("kinect_bookshelf", kinect_shot()),
        ("office_desk", office_shot()),
    ):
        predicted = predictor.predict([image], [camera])[0].depth
        if predicted is None:
            raise SystemExit(f"{arguments.model} has no depth")
        path = bundled_images() / f"{name}_depth_mm.png"
        measured = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        height, width = measured.shape
        depth = np.asarray(cv2.resize(predicted, (width, height)), np.float32)
        if name == "kinect_bookshelf":
            depth = depth_in_the_depth_camera(depth, measured)
        print_comparison(name, depth, measured)
    backend.close()


def print_comparison(name: str, depth: NDArray[np.float32], measured: NDArray[np.float32]) -> None:
    """Figures of one frame, both depths [H, W] in metres, 0 where not measured."""
    known = (measured > 0) & (depth > 0)
    d, z = depth[known], measured[known]
    print(f"{name}: {known.mean():.0%} of the pixels compared, {z.min():.2f} to {z.max():.2f} m")
    best = float(np.exp(np.median(np.log(z / d))))
    for scale, title in ((1.0, "as predicted"), (best, f"with the best scale, {best:.2f}")):
        metric = DepthMetric()
        metric.update(torch.from_numpy(d * np.float32(scale)), torch.from_numpy(z))
        found = metric.compute()
        print(f"  {title}: RMSE {found['rmse']:.3f} m, delta < 1.25 {found['delta1']:.3f}")


if __name__ == "__main__":
    main()
