# SPDX-License-Identifier: Apache-2.0
"""Colours people rely on: the card's palette, the usual look of normals, NaN in black."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mtinet_ros.visualization.colors import (
    LabelColors,
    colorize_depth,
    colorize_normals,
    depth_range,
)

PALETTE = ((10, 20, 30), (40, 50, 60), (255, 0, 1))


def test_classes_have_the_cards_colors_and_void_is_black() -> None:
    labels = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)
    color = LabelColors(PALETTE).colorize(labels)
    assert color.dtype == np.uint8
    assert color.tolist() == [[list(c) for c in PALETTE], [[0, 0, 0]] * 3]


def test_a_padded_view_of_the_networks_output_is_colored_alike() -> None:
    buffer = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    view = buffer[3:17, 5:25]
    colors = LabelColors(PALETTE)
    assert (colors.colorize(view) == colors.colorize(view.copy())).all()


def test_the_overlay_is_half_picture_half_class() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    labels = np.full((2, 3), 2, np.uint8)
    overlay = LabelColors(PALETTE).overlay(image, labels)
    assert overlay[0, 0].tolist() == pytest.approx([178, 50, 50], abs=1)


@pytest.mark.parametrize(
    ("normal", "color"),
    [
        ((0, 0, -1), (128, 128, 255)),  # facing the camera: light blue
        ((1, 0, 0), (255, 128, 128)),  # to the right: red
        ((0, -1, 0), (128, 255, 128)),  # up: green
        ((0, 1, 0), (128, 0, 128)),
        ((np.nan, np.nan, np.nan), (0, 0, 0)),
    ],
)
def test_normals_have_their_usual_look(
    normal: tuple[float, float, float], color: tuple[int, int, int]
) -> None:
    pixels = colorize_normals(np.array([[normal]], np.float32))
    assert pixels[0, 0].tolist() == pytest.approx(list(color), abs=1)


def test_coloring_normals_leaves_them_alone() -> None:
    normals = np.full((2, 2, 3), np.nan, np.float32)
    colorize_normals(normals)
    assert np.isnan(normals).all()


def test_near_is_bright_and_nan_is_black() -> None:
    depth = np.tile(np.linspace(0.5, 10.0, 50, dtype=np.float32), (4, 1))
    depth[0] = np.nan
    color = colorize_depth(depth)
    brightness = color.astype(int).sum(axis=-1)
    assert (color[0] == 0).all()
    assert brightness[1, 0] > brightness[1, 10] > brightness[1, -1]


def test_depth_without_a_valid_pixel_or_of_one_value_is_no_trouble() -> None:
    assert (colorize_depth(np.full((3, 3), np.nan, np.float32)) == 0).all()
    assert colorize_depth(np.full((3, 3), 2.0, np.float32)).shape == (3, 3, 3)


def test_what_ground_truth_does_not_know_is_black() -> None:
    """Depth 0 and normals of length zero, as data sets write them."""
    depth = np.array([[0.0, 1.0, np.nan, 2.0, np.inf]], np.float32)
    black = (colorize_depth(depth) == 0).all(axis=-1)
    assert black.tolist() == [[True, False, True, False, True]]
    normals = np.array([[[0, 0, 0], [0, 0, -1], [np.nan] * 3]], np.float32)
    assert colorize_normals(normals)[0].tolist() == [[0, 0, 0], [128, 128, 255], [0, 0, 0]]


def test_equal_depths_have_equal_colors_in_images_of_one_range() -> None:
    """Truth and prediction beside each other can be compared by eye."""
    truth = np.array([[1.0, 2.0, 4.0]], np.float32)
    predicted = np.array([[2.0, 2.0, 8.0]], np.float32)
    a, b = (colorize_depth(depth, (1.0, 4.0))[0].tolist() for depth in (truth, predicted))
    assert b[0] == b[1] == a[1]
    assert b[2] == a[2]  # what is farther than the range is as dark as its end
    # Inverse depth: 2 m is at (1/2 - 1/4) / (1 - 1/4) = 1/3 of the way from dark to bright.
    inferno = cv2.applyColorMap(np.array([[0, 85, 255]], np.uint8), cv2.COLORMAP_INFERNO)
    assert [a[2], a[1], a[0]] == inferno[0, :, ::-1].tolist()


def test_the_range_of_depth_is_that_of_all_known_values_together() -> None:
    near = np.linspace(1.0, 2.0, 101, dtype=np.float32).reshape(1, -1)
    far = np.linspace(2.0, 3.0, 101, dtype=np.float32)[1:].reshape(1, -1)
    unknown = np.array([[0.0, np.nan, -1.0]], np.float32)
    assert depth_range(near, unknown, far) == pytest.approx((1.02, 2.98))
    assert depth_range(unknown) is None
    assert depth_range() is None
