# SPDX-License-Identifier: Apache-2.0
"""Many frames at a glance: what is beside and above what, and on one scale."""

from __future__ import annotations

import numpy as np

from mtinet_ros.visualization.colors import LabelColors, colorize_depth, colorize_normals
from mtinet_ros.visualization.contact_sheet import SheetFrame, contact_sheet

PALETTE = ((10, 20, 30), (40, 50, 60))


def frame(depth: float = 1.0) -> SheetFrame:
    return SheetFrame(
        np.full((30, 40, 3), 99, np.uint8),
        labels=np.ones((30, 40), np.uint8),
        depth=np.full((30, 40), depth, np.float32),
        normals=np.full((30, 40, 3), (0, 0, -1), np.float32),
    )


def test_a_frame_is_a_strip_of_image_classes_depth_and_normals() -> None:
    sheet = contact_sheet([frame(1.0), frame(3.0)], PALETTE, width=40, near_far=(1.0, 3.0))
    assert sheet.dtype == np.uint8
    assert sheet.shape == (60, 160, 3)
    for number, depth in enumerate((1.0, 3.0)):
        strip = sheet[number * 30 : number * 30 + 30]
        known = frame(depth)
        assert (strip[:, :40] == 99).all()
        assert (strip[:, 40:80] == LabelColors(PALETTE).colorize(known.labels)).all()
        assert (strip[:, 80:120] == colorize_depth(known.depth, (1.0, 3.0))).all()
        assert (strip[:, 120:] == colorize_normals(known.normals)).all()


def test_all_frames_of_a_sheet_share_one_scale_of_depth() -> None:
    """Each frame for itself, a wall at 1 m and one at 3 m would look the same."""
    sheet = contact_sheet([frame(1.0), frame(3.0)], PALETTE, width=40)
    near, far = sheet[15, 100].astype(int), sheet[45, 100].astype(int)
    assert near.sum() > 500 > 100 > far.sum()


def test_columns_are_filled_with_black_and_what_a_frame_lacks_too() -> None:
    """A photograph has no truth; a network without depth leaves no empty column."""
    bare = SheetFrame(frame().image)
    labeled = SheetFrame(frame().image, normals=frame().normals)
    sheet = contact_sheet([bare, labeled, bare], PALETTE, width=20, columns=2)
    assert sheet.shape == (30, 80, 3)
    assert (sheet[:15, 20:40] == 0).all()
    assert (sheet[:15, 60:] == (128, 128, 255)).all()
    assert (sheet[15:, 40:] == 0).all()
