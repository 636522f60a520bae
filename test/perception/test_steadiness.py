# SPDX-License-Identifier: Apache-2.0
"""Flicker and jitter of videos whose answers are known beforehand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.optical_flow import Motion, OpticalFlow
from mtinet_ros.perception.steadiness import (
    LEAST_FOLLOWED,
    Steadiness,
    depth_changes,
    label_changes,
    still_depth,
)

HEIGHT, WIDTH = 120, 160
PICTURES = Path(__file__).parents[2] / "demo" / "pictures"
AREA = cv2.INTER_AREA


def wallpaper(height: int = HEIGHT, width: int = WIDTH, seed: int = 3) -> NDArray[np.uint8]:
    """Speckles of some pixels' size, as flow likes them; uint8 [h,w,3]."""
    noise = np.random.default_rng(seed).normal(128, 120, (height, width, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 3 - 256, 0, 255).astype(np.uint8)


def patches(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Classes 0 to 3 in squares of 20 pixels."""
    rows, columns = np.mgrid[:height, :width] // 20
    return ((rows + 2 * columns) % 4).astype(np.uint8)


def view(array: NDArray, x: int, y: int) -> NDArray:
    return np.ascontiguousarray(array[y : y + HEIGHT, x : x + WIDTH])


def still() -> Motion:
    picture = wallpaper()
    return OpticalFlow().between(picture, picture)[0]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, 0), (-3, 4), (8, -8)])
def test_labels_that_move_with_the_picture_do_not_flicker(x: int, y: int) -> None:
    world, classes = wallpaper(200, 240), patches(200, 240)
    to_now, to_before = OpticalFlow().between(view(world, 30, 30), view(world, 30 + x, 30 + y))
    # All of the earlier picture but what left it, and what hangs on the frame.
    staying = (WIDTH - abs(x)) * (HEIGHT - abs(y)) / (WIDTH * HEIGHT)
    assert staying - 0.04 < to_before.share <= staying
    np.testing.assert_allclose(np.median(to_now.x - np.arange(WIDTH)), -x, atol=0.1)
    found = label_changes(view(classes, 30, 30), view(classes, 30 + x, 30 + y), to_before)
    assert found is not None
    assert found.changed < 0.004
    assert found.moved < 0.0005
    assert found.followed == to_before.share
    # The same labels, which do not move along: an edge of a class every 20 pixels, both ways.
    left_behind = label_changes(view(classes, 30, 30), view(classes, 30, 30), to_before)
    assert left_behind is not None
    crossed = 1 - (1 - abs(x) / 20) * (1 - abs(y) / 20)
    assert left_behind.changed == pytest.approx(crossed, abs=0.15 * crossed + 0.004)


def test_a_tenth_of_the_pixels_relabelled_is_a_flicker_of_a_tenth() -> None:
    before = patches()
    now, random = before.copy(), np.random.default_rng(0)
    chosen = random.permutation(HEIGHT * WIDTH)[: HEIGHT * WIDTH // 10]
    now.flat[chosen] = 9
    found = label_changes(before, now, still())
    assert found is not None
    assert found.changed == pytest.approx(0.1, abs=1e-12)
    assert found.moved == pytest.approx(0.1, abs=1e-12)  # 9 is nowhere near
    total = Steadiness(labels=[found, found]).figures()
    assert total["flicker"] == pytest.approx(0.1)
    # Each of the four classes keeps nine tenths of its pixels; 9 was never there before.
    assert total["label_consistency"] == pytest.approx(4 * 0.9 / 5, abs=0.01)


def test_edges_that_shift_by_a_pixel_flicker_but_not_beyond_edges() -> None:
    before = patches()
    found = label_changes(before, np.roll(before, 1, axis=1), still())
    assert found is not None
    assert found.changed == pytest.approx(1 / 20, abs=0.002)
    assert found.moved == pytest.approx(1 / WIDTH)  # np.roll brings another class in on the left


def test_void_pixels_say_nothing() -> None:
    before, now = patches(), patches()
    before[:60], now[:, :80] = VOID_ID, VOID_ID
    now[60:90, 80:] = 9  # half of the quarter that both know
    found = label_changes(before, now, still())
    assert found is not None
    assert found.changed == 0.5
    assert label_changes(np.full_like(before, VOID_ID), now, still()) is None


def test_what_comes_into_view_behind_a_moving_thing_does_not_count() -> None:
    """A card of 40 x 40 moves 6 pixels to the right over a wall that stands still."""
    wall, card = wallpaper(), wallpaper(40, 40, seed=8)
    pictures, labels = [], []
    for left in (50, 56):
        picture, label = wall.copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
        picture[40:80, left : left + 40], label[40:80, left : left + 40] = card, 1
        pictures.append(picture)
        labels.append(label)
    _, to_before = OpticalFlow().between(pictures[0], pictures[1])
    uncovered = to_before.followed[42:78, 50:55]
    assert uncovered.mean() < 0.3
    assert to_before.followed[:, :40].mean() > 0.97
    found = label_changes(labels[0], labels[1], to_before)
    assert found is not None
    # Were the flow ignored, the 12 columns that the card gains and leaves would change.
    ignored = 12 * 40 / (HEIGHT * WIDTH)
    assert found.changed < 0.35 * ignored


def depths(*values: float) -> list[NDArray[np.float32]]:
    return [np.full((HEIGHT, WIDTH), value, np.float32) for value in values]


def test_depth_that_breathes_by_two_percent_has_that_jitter_all_of_it_scale() -> None:
    up = depth_changes(*depths(3.0, 3.06, 3.0), still(), still())
    down = depth_changes(*depths(3.06, 3.0, 3.06), still(), still())
    assert up is not None
    assert down is not None
    assert up.scale == pytest.approx(np.log(1.02), abs=1e-6)
    assert down.scale == pytest.approx(-np.log(1.02), abs=1e-6)
    figures = Steadiness(depth=[up, down]).figures()
    assert figures["depth_jitter"] == pytest.approx(0.0198, abs=1e-4)
    assert figures["depth_scale_jitter"] == pytest.approx(0.0198, abs=1e-4)
    assert figures["depth_local_jitter"] == pytest.approx(0, abs=1e-6)


def test_depth_of_points_that_jitter_apart_is_local() -> None:
    before, now, after = depths(2.0, 2.0, 2.0)
    checkered = (np.indices(now.shape).sum(axis=0) % 2).astype(bool)
    now[checkered] *= np.float32(1.05)
    now[~checkered] /= np.float32(1.05)
    found = depth_changes(before, now, after, still(), still())
    assert found is not None
    assert found.total == pytest.approx(np.log(1.05), abs=1e-4)
    assert found.total - abs(found.scale) <= found.local <= found.total + abs(found.scale)


def test_coming_closer_evenly_is_no_jitter() -> None:
    """Each picture is the last one 3 % closer: larger about its centre, depth 3 % less."""
    world = wallpaper()
    pictures, maps = [], []
    slope = np.linspace(2, 4, WIDTH, dtype=np.float32) * np.ones((HEIGHT, 1), np.float32)
    for step in range(3):
        zoom = 0.97**-step
        matrix = np.array([[zoom, 0, (1 - zoom) * (WIDTH - 1) / 2],
                           [0, zoom, (1 - zoom) * (HEIGHT - 1) / 2]])  # fmt: skip
        size = (WIDTH, HEIGHT)
        pictures.append(cv2.warpAffine(world, matrix, size, borderMode=cv2.BORDER_REPLICATE))
        warped = cv2.warpAffine(slope, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        maps.append((warped * 0.97**step).astype(np.float32))
    flow = OpticalFlow()
    _, to_before = flow.between(pictures[0], pictures[1])
    to_after, _ = flow.between(pictures[1], pictures[2])
    found = depth_changes(*maps, to_before, to_after)
    assert found is not None
    assert found.followed > 0.7
    assert abs(found.scale) < 0.0005
    assert found.total < 0.001
    # Compared with the picture before alone, it would be the 3 % that the camera came closer.
    single = np.log(maps[1]) - np.log(to_before.sample(maps[0]))
    assert np.median(single[to_before.followed]) == pytest.approx(np.log(0.97), abs=0.002)


def test_holes_in_depth_are_left_out_and_no_depth_at_all_is_none() -> None:
    before, now, after = depths(2.0, 2.0, 2.0)
    before[:30], now[:, :40], after[-30:] = np.nan, 0.0, -1.0
    found = depth_changes(before, now, after, still(), still())
    assert found is not None
    assert found.total == 0
    assert found.followed == pytest.approx(0.5 * 0.75, abs=0.03)  # of rows, of columns
    assert depth_changes(*depths(2, np.nan, 2), still(), still()) is None
    assert still_depth(*depths(np.nan, 2)) is None
    assert still_depth(*depths(2.0, 2.1)) == pytest.approx(np.log(1.05), abs=1e-5)


def test_pictures_of_different_places_are_told_from_a_moving_camera() -> None:
    shelf, desks = (
        cv2.resize(np.asarray(cv2.imread(str(PICTURES / name))), (320, 240), interpolation=AREA)
        for name in ("kinect_bookshelf.png", "office_desk.jpg")
    )
    assert OpticalFlow().between(shelf, desks)[0].share < LEAST_FOLLOWED / 2
    farther = [np.ascontiguousarray(desks[:, x : x + 280]) for x in (0, 40)]
    assert OpticalFlow().between(*farther)[0].share > 2 * LEAST_FOLLOWED
