# SPDX-License-Identifier: Apache-2.0
"""A folder of the layout NYUD_MT with a handful of tiny frames: a wall of four patches each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

ROWS, COLUMNS = 48, 64
TASKS = ("semseg", "depth", "normals", "edge")


def write_toy_nyud(root: Path, training: int = 6, validation: int = 3) -> None:
    """Write the folder, as the authors have it: labels 1 to 40, normals with z to the viewer.

    Args:
        root: To make.
        training: Frames listed in `gt_sets/train.txt`.
        validation: Frames listed in `gt_sets/val.txt`.
    """
    random = np.random.default_rng(0)
    for folder in ("images", "segmentation", "depth", "normals", "edge", "gt_sets"):
        (root / folder).mkdir(parents=True)
    names = [f"{number:04d}" for number in range(training + validation)]
    for name in names:
        labels = random.integers(0, 41, (2, 2)).repeat(24, 0).repeat(32, 1).astype(np.uint8)
        picture = np.stack([labels * 6, 255 - labels * 5, labels * 3], -1)
        normals = np.zeros((ROWS, COLUMNS, 3), np.float32)
        normals[..., 2] = 1
        edge = np.zeros((ROWS, COLUMNS), np.uint8)
        edge[23:25], edge[:, 31:33] = 1, 1
        assert cv2.imwrite(str(root / f"images/{name}.jpg"), picture)
        assert cv2.imwrite(str(root / f"segmentation/{name}.png"), labels)
        np.save(root / f"depth/{name}.npy", (1 + labels * 0.05).astype(np.float32))
        np.save(root / f"normals/{name}.npy", normals)
        np.save(root / f"edge/{name}.npy", edge)
    (root / "gt_sets/train.txt").write_text("\n".join(names[:training]) + "\n")
    (root / "gt_sets/val.txt").write_text("\n".join(names[training:]) + "\n")
