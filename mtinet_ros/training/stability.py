# SPDX-License-Identifier: Apache-2.0
"""Stability: how much predictions change while the camera moves and the scene does not.

Frame b of a camera path is compared with its predecessor a, pixel by pixel, where the true depth
and the true camera poses say that both see the same point of the same class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.model_contract import VOID_ID

_SAME_POINT = 0.02
"""Relative difference below which two depths are of one point."""


@dataclass(frozen=True)
class Correspondence:
    """Pixels of frame b whose points are visible in frame a too.

    Attributes:
        b_rows: Rows in b, one per pixel.
        b_columns: Columns in b.
        a_rows: Nearest rows in a.
        a_columns: Nearest columns in a.
        rays: Rays [M, 3] (z = 1) in a's camera optical frame through the points themselves.
        a_to_b: 4×4 from a's to b's camera optical frame.
    """

    b_rows: NDArray[np.intp]
    b_columns: NDArray[np.intp]
    a_rows: NDArray[np.intp]
    a_columns: NDArray[np.intp]
    rays: NDArray[np.float64]
    a_to_b: NDArray[np.float64]


def find_correspondence(a: Sample, b: Sample) -> Correspondence:
    """The pixels of b whose point is visible in a, and is of the same class there.

    Both samples need semseg, depth, intrinsics and `world_from_camera`.
    """
    assert a.intrinsics is not None
    assert b.intrinsics is not None
    assert a.world_from_camera is not None
    assert b.world_from_camera is not None
    depth, labels = b.targets["depth"], b.targets["semseg"]
    rows, columns = np.nonzero((depth > 0) & (labels != VOID_ID))
    points = _unproject(rows, columns, depth[rows, columns], b.intrinsics)
    points_in_a = _transform(np.linalg.inv(a.world_from_camera) @ b.world_from_camera, points)
    z = points_in_a[:, 2]
    in_front = z > 1e-3
    rays = points_in_a / np.where(in_front, z, 1.0)[:, None]
    a_columns = np.rint(rays[:, 0] * a.intrinsics.focal_length + a.intrinsics.cx).astype(np.intp)
    a_rows = np.rint(rays[:, 1] * a.intrinsics.focal_length + a.intrinsics.cy).astype(np.intp)
    height, width = a.targets["depth"].shape[:2]
    in_view = in_front & (a_rows >= 0) & (a_rows < height) & (a_columns >= 0) & (a_columns < width)
    rows, columns, rays, z = rows[in_view], columns[in_view], rays[in_view], z[in_view]
    a_rows, a_columns = a_rows[in_view], a_columns[in_view]
    same = np.abs(a.targets["depth"][a_rows, a_columns] - z) < _SAME_POINT * z
    same &= a.targets["semseg"][a_rows, a_columns] == labels[rows, columns]
    return Correspondence(
        rows[same], columns[same], a_rows[same], a_columns[same], rays[same],
        np.linalg.inv(b.world_from_camera) @ a.world_from_camera,
    )  # fmt: skip


@dataclass
class Stability:
    """Flicker of labels and jitter of depth, summed over pairs of frames."""

    pixels: int = 0
    flickering: int = 0
    depth_pixels: int = 0
    depth_change: float = 0.0

    def update_labels(
        self, match: Correspondence, a: NDArray[np.integer], b: NDArray[np.integer]
    ) -> None:
        """Add predicted label maps of two frames."""
        self.pixels += len(match.b_rows)
        changed = a[match.a_rows, match.a_columns] != b[match.b_rows, match.b_columns]
        self.flickering += int(np.count_nonzero(changed))

    def update_depth(
        self, match: Correspondence, a: NDArray[np.float32], b: NDArray[np.float32]
    ) -> None:
        """Add predicted depth maps of two frames, metres."""
        before = match.rays * a[match.a_rows, match.a_columns, None].astype(np.float64)
        expected = _transform(match.a_to_b, before)[:, 2]
        actual = b[match.b_rows, match.b_columns].astype(np.float64)
        valid = (expected > 0) & (actual > 0)  # False for NaN: no prediction
        self.depth_pixels += int(np.count_nonzero(valid))
        self.depth_change += float(np.abs(np.log(actual[valid] / expected[valid])).sum())

    def compute(self) -> dict[str, float]:
        """Flicker: share of pixels whose class changes although the true one does not.

        Depth jitter: mean |log ratio| of a pixel's depth to the previous frame's, warped by the
        true motion; about a relative error. A metric without pixels is left out.
        """
        metrics = {}
        if self.pixels:
            metrics["flicker"] = self.flickering / self.pixels
        if self.depth_pixels:
            metrics["depth_jitter"] = self.depth_change / self.depth_pixels
        return metrics


def _unproject(
    rows: NDArray[np.intp], columns: NDArray[np.intp], depth: Target, intrinsics: Intrinsics
) -> NDArray[np.float64]:
    z = depth.astype(np.float64)
    x = (columns - intrinsics.cx) / intrinsics.focal_length * z
    y = (rows - intrinsics.cy) / intrinsics.focal_length * z
    return np.stack([x, y, z], axis=-1)


def _transform(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    transformed: NDArray[np.float64] = points @ matrix[:3, :3].T + matrix[:3, 3]
    return transformed
