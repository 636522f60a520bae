# SPDX-License-Identifier: Apache-2.0
"""The sheet of pictures people look at."""

from __future__ import annotations

import numpy as np
import pytest
from support.tiny_model import tiny_card

from mtinet_ros.visualization.montage import depth_title, frame_panels, montage


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_any_number_of_panels_makes_a_sheet_of_two_columns(count: int) -> None:
    panels = [(str(i), np.full((240, 320, 3), 10 * i + 5, np.uint8)) for i in range(count)]
    sheet = montage(panels)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (640, 3)
    assert sheet.shape[0] % 262 == 0
    assert sheet.shape[0] // 262 == (count + 1) // 2
    for index in range(count):
        row, column = index // 2 * 262 + 150, index % 2 * 320 + 100
        assert (sheet[row, column] == 10 * index + 5).all()


def test_small_pictures_are_enlarged_so_that_titles_can_be_read() -> None:
    assert montage([("a", np.zeros((32, 64, 3), np.uint8))]).shape[1] == 640


def test_legend_and_note_are_on_the_sheet() -> None:
    panels = [("a", np.zeros((240, 320, 3), np.uint8))]
    bare = montage(panels)
    noted = montage(panels, note="careful")
    legend = montage(panels, [(f"class {i}", (200, 2 * i, 7)) for i in range(40)])
    assert noted.shape[0] > bare.shape[0]
    colors = {tuple(c) for c in legend[bare.shape[0] :].reshape(-1, 3).tolist()}
    assert all((200, 2 * i, 7) in colors for i in range(40))


def test_a_panel_for_each_thing_that_was_predicted() -> None:
    size = (30, 40)
    image = np.zeros((*size, 3), np.uint8)
    palette = tiny_card().palette
    assert [title for title, _ in frame_panels(image, palette)] == ["image"]
    panels = frame_panels(
        image,
        palette,
        labels=np.zeros(size, np.uint8),
        depth=np.full(size, 1.5, np.float32),
        normals=np.zeros((*size, 3), np.float32),
        confidence=np.zeros(size, np.uint8),
    )
    assert [title for title, _ in panels] == [
        "image",
        "segmentation",
        "depth 1.50 to 1.50",
        "normals",
        "confidence of the labels",
    ]
    assert all(p.shape == (*size, 3) and p.dtype == np.uint8 for _, p in panels)


def test_depth_without_a_valid_pixel_says_so() -> None:
    assert depth_title(np.full((2, 2), np.nan, np.float32)) == "depth (none valid)"
