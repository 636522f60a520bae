# SPDX-License-Identifier: Apache-2.0
"""Tiny folders of both layouts, written by hand: a wall 2 m away, and a floor's label below."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

SIZE = (480, 640)
TRAIN, TEST = ("0003", "0004", "0007", "0008"), ("0005",)


def write_image(path: Path, shade: int) -> None:
    image = np.full((*SIZE, 3), shade, np.uint8)
    image[200:300, 200:300] = 255 - shade
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


def write_npy(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


@pytest.fixture
def compact(tmp_path: Path) -> Path:
    """Wall (0), floor (1) from row 300, unknown (39) in a corner; depth 51 · 10/255 = 2 m."""
    root = tmp_path / "compact"
    labels = np.zeros(SIZE, np.uint8)
    labels[300:] = 1
    labels[400:, 500:] = 39
    for number, name in enumerate(TRAIN + TEST):
        write_image(root / "images" / f"{name}.jpg", 20 + 20 * number)
        write_png(root / "segmentation" / f"{name}.png", labels)
        write_png(root / "depth" / f"{name}.png", np.full(SIZE, 51, np.uint8))
    (root / "train.txt").write_text("".join(f"{name}\n" for name in TRAIN))
    (root / "test.txt").write_text("".join(f"{name}\n" for name in TEST))
    return root


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    """The same as MTI-Net's authors have it: labels from 1, normals with z to the viewer."""
    root = tmp_path / "NYUD_MT"
    labels = np.ones(SIZE, np.uint8)
    labels[300:] = 2
    labels[400:, 500:] = 0
    depth = np.full(SIZE, 2.0, np.float32)
    depth[50:60, 50:60] = 0
    normals = np.zeros((*SIZE, 3), np.float32)
    normals[..., 2] = 1
    normals[50:60, 50:60] = 0
    edge = np.zeros(SIZE, np.uint8)
    edge[300] = 1
    for number, name in enumerate(TRAIN + TEST):
        write_image(root / "images" / f"{name}.jpg", 20 + 20 * number)
        write_png(root / "segmentation" / f"{name}.png", labels)
        write_npy(root / "depth" / f"{name}.npy", depth)
        write_npy(root / "normals" / f"{name}.npy", normals)
        write_npy(root / "edge" / f"{name}.npy", edge)
    (root / "gt_sets").mkdir()
    (root / "gt_sets" / "train.txt").write_text("".join(f"{name}\n" for name in TRAIN))
    (root / "gt_sets" / "val.txt").write_text("".join(f"{name}\n" for name in TEST))
    return root
