# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera turning in a panorama sees what lies in that direction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.demo.panorama import pinhole_for_view, pinhole_view_of_panorama

HEIGHT = 128


def compass() -> NDArray[np.uint8]:
    """Red goes round with the azimuth, green down with the elevation."""
    v, u = np.mgrid[0:HEIGHT, 0 : 2 * HEIGHT]
    azimuth = (u + 0.5) / (2 * HEIGHT) * 2 * np.pi - np.pi
    red = 127.5 + 127 * np.sin(azimuth)
    blue = 127.5 + 127 * np.cos(azimuth)
    return np.dstack([red, (v + 0.5) / HEIGHT * 255, blue]).astype(np.uint8)


@pytest.mark.parametrize("yaw", [-180, -90, -30, 0, 45, 90, 179.5, 359, 720])
@pytest.mark.parametrize("pitch", [-60, -8, 0, 30])
def test_the_middle_of_the_view_is_the_direction_looked_at(yaw: float, pitch: float) -> None:
    camera = pinhole_for_view(65, 49, 60.0)
    view = pinhole_view_of_panorama(compass(), camera, yaw, pitch)
    assert view.shape == (49, 65, 3)
    red, green, blue = view[24, 32].astype(float)
    assert red == pytest.approx(127.5 + 127 * np.sin(np.radians(yaw)), abs=6)
    assert blue == pytest.approx(127.5 + 127 * np.cos(np.radians(yaw)), abs=6)
    assert green == pytest.approx((0.5 - pitch / 180) * 255, abs=3)


def test_the_edges_of_the_view_lie_half_the_field_of_view_away() -> None:
    camera = pinhole_for_view(640, 64, 90.0)
    view = pinhole_view_of_panorama(compass(), camera, 0.0)
    assert view[32, 639, 0] == pytest.approx(127.5 + 127 * np.sin(np.radians(45)), abs=3)
    assert view[32, 0, 0] == pytest.approx(127.5 - 127 * np.sin(np.radians(45)), abs=3)


def test_the_seam_behind_does_not_show() -> None:
    view = pinhole_view_of_panorama(compass(), pinhole_for_view(640, 64, 60.0), 180.0).astype(int)
    assert np.abs(np.diff(view[32], axis=0)).max() <= 3
