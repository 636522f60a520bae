# SPDX-License-Identifier: Apache-2.0
"""Normals of planes fitted to depth: right where it is flat, and none where that is not known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.datasets.depth_normals import normals_from_depth
from mtinet_ros.datasets.intrinsics import Intrinsics

HEIGHT, WIDTH = 120, 160
LENS = Intrinsics(130.0, 79.5, 59.5)  # 519 at 640x480, a quarter
STEP = 10 / 255
Normal = tuple[float, float, float]


def rays() -> NDArray[np.float64]:
    """Viewing rays of all pixels, z = 1."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([(x - 79.5) / 130, (y - 59.5) / 130, np.ones_like(x, float)], axis=-1)


def plane(normal: Normal, distance: float) -> NDArray[np.float32]:
    """Depth of the plane n·X = -distance: along a ray r, z = -distance / n·r."""
    return np.asarray(-distance / (rays() @ np.array(normal)), np.float32)


def in_steps(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.rint(depth / STEP) * STEP, np.float32)


def angles(found: NDArray[np.float32], normal: Normal) -> NDArray[np.float64]:
    """Degrees to a normal, where one was found."""
    known = found.any(axis=-1)
    return np.degrees(np.arccos(np.clip(found[known].astype(float) @ np.array(normal), -1, 1)))


# (0.36, 0.48, -0.8) and (-0.48, -0.6, -0.64) have length 1: 0.1296 + 0.2304 + 0.64 and so on.
PLANES: list[Normal] = [(0.0, 0.0, -1.0), (0.36, 0.48, -0.8), (-0.48, -0.6, -0.64)]


@pytest.mark.parametrize("normal", PLANES, ids=["frontal", "slanted", "steep"])
def test_a_plane_has_one_normal(normal: Normal) -> None:
    found = normals_from_depth(plane(normal, 2.0), LENS, 0.0)
    assert found.dtype == np.float32
    known = found.any(axis=-1)
    assert known[6:-6, 6:-6].mean() > 0.9  # but for a border, and a corner that is seen aslant
    assert known[40:80, 60:100].all()
    assert angles(found, normal).max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(found[found.any(axis=-1)], axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("normal", PLANES[1:], ids=["slanted", "steep"])
def test_a_plane_in_steps_has_nearly_that_normal(normal: Normal) -> None:
    found = normals_from_depth(in_steps(plane(normal, 2.0)), LENS, STEP)
    assert found.any(axis=-1).mean() > 0.6
    assert np.median(angles(found, normal)) < 2
    assert np.quantile(angles(found, normal), 0.95) < 6


def test_a_wall_within_one_step_is_frontal_or_unknown() -> None:
    """It is turned by 3 degrees: sin 0.0523, cos 0.9986. In one step it looks frontal."""
    found = normals_from_depth(in_steps(plane((0.0523, 0.0, -0.9986), 2.0)), LENS, STEP)
    off = angles(found, (0.0523, 0.0, -0.9986))
    assert np.quantile(off, 0.95) < 8  # the border of the picture has small windows only


def test_a_crease_is_unknown_and_both_sides_are_known() -> None:
    """Two walls meet in a corner 3 m ahead; the left one faces right, x = 0.6, z = -0.8."""
    left, right = (0.6, 0.0, -0.8), (-0.6, 0.0, -0.8)
    depth = np.minimum(plane(left, 2.4), plane(right, 2.4))
    for step, seen in ((0.0, depth), (STEP, in_steps(depth))):
        found = normals_from_depth(seen, LENS, step)
        assert np.quantile(angles(found[:, :70], left), 0.95) < 10
        assert np.quantile(angles(found[:, 90:], right), 0.95) < 10
        assert not found[:, 79:81].any()
        assert found[20:100, 20:60].any(axis=-1).mean() > 0.5


def test_a_step_in_depth_has_no_normal() -> None:
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth[:, 80:] = 3.0
    found = normals_from_depth(depth, LENS, STEP)
    assert not found[:, 79:81].any()
    assert angles(found, (0, 0, -1)).max() < 0.5  # nowhere a plane across


def test_a_ball_has_its_own_normals_or_none() -> None:
    """A ball of 12 cm radius, 1 m away, 31 pixels across, before a wall at 3 m."""
    r = rays()
    # |t r - c| = R with c = (0, 0, 1): t² r·r - 2 t r_z + 1 - R² = 0.
    rr = (r**2).sum(axis=-1)
    inside = 1 - rr * (1 - 0.12**2)
    ball = (1 - np.sqrt(np.maximum(inside, 0))) / rr
    depth = np.where(inside > 0, ball, 3.0).astype(np.float32)
    found = normals_from_depth(depth, LENS, 0.0)
    exact = (r * ball[..., None] - np.array([0, 0, 1])) / 0.12
    on_ball = (inside > 0) & found.any(axis=-1)
    cosine = (found * exact).sum(axis=-1)[on_ball]
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 10
    rim = np.abs(np.hypot(r[..., 0], r[..., 1]) - 0.12) < 0.01
    assert not found[rim].any()  # where the wall begins behind it
    assert angles(found[depth == 3.0], (0, 0, -1)).max() < 0.5


def test_holes_are_unknown_and_so_is_what_lies_beside_them() -> None:
    depth = plane((0.36, 0.48, -0.8), 2.0)
    depth[40:50, 40:50] = 0
    found = normals_from_depth(depth, LENS, 0.0)
    assert not found[39:51, 39:51].any()
    assert angles(found, (0.36, 0.48, -0.8)).max() < 0.1


def test_a_surface_seen_along_its_plane_is_unknown() -> None:
    """A floor 0.3 m below the camera far ahead: seen under less than 10 degrees there."""
    y = (np.arange(HEIGHT) - 59.5) / 130
    depth = np.where(y > 0.01, 0.3 / np.maximum(y, 1e-6), 0)[:, None].repeat(WIDTH, axis=1)
    found = normals_from_depth(depth.astype(np.float32), LENS, 0.0)
    # n·r = y / |r|; the tangent of 10 degrees is 0.176, in the middle columns row 82.
    assert not found[:80, 79].any()
    assert found[90:110, 79].any(axis=-1).all()
    np.testing.assert_allclose(found[100, 79], [0, -1, 0], atol=2e-3)


def test_nothing_known_gives_nothing() -> None:
    assert not normals_from_depth(np.zeros((HEIGHT, WIDTH), np.float32), LENS, STEP).any()
    assert not normals_from_depth(np.ones((2, 2), np.float32), LENS, 0.0).any()
