# SPDX-License-Identifier: Apache-2.0
"""Depth in metres through any lens, and NaN where it means nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.depth import depth_scale, to_millimeters, valid_depth
from mtinet_ros.perception.fit import Fit

NETWORK = (96, 128)


def card(focal_length: float | None = 100.0, kind: str = "metric") -> ModelCard:
    return ModelCard("m", ("depth",), NETWORK, focal_length=focal_length, depth_kind=kind)


def camera(width: int, height: int, focal_length: float) -> CameraModel:
    return CameraModel.pinhole(
        width, height, focal_length, focal_length, (width - 1) / 2, (height - 1) / 2
    )


def test_a_longer_lens_shows_things_farther_away() -> None:
    fit = Fit.plan((480, 640), NETWORK, "letterbox")
    assert depth_scale(card(), fit, camera(640, 480, 500.0)) == pytest.approx(1.0)
    assert depth_scale(card(), fit, camera(640, 480, 1000.0)) == pytest.approx(2.0)


def test_the_same_lens_at_another_resolution_gives_the_same_meters() -> None:
    for height, width in ((480, 640), (240, 320), (96, 128), (960, 1280)):
        fit = Fit.plan((height, width), NETWORK, "letterbox")
        scale = depth_scale(card(), fit, camera(width, height, 0.8 * width))
        assert scale == pytest.approx(0.8 * 128 / 100)


def test_without_a_lens_or_a_focal_length_depth_is_up_to_scale() -> None:
    fit = Fit.plan((480, 640), NETWORK, "letterbox")
    lens = camera(640, 480, 500.0)
    assert depth_scale(card(), fit, None) is None
    assert depth_scale(card(None), fit, lens) is None
    assert depth_scale(card(kind="up_to_scale"), fit, lens) is None
    assert depth_scale(card(kind="as_trained"), fit, lens) is None


def test_what_is_out_of_range_or_no_number_is_nan() -> None:
    depth = np.array([[-1, 0, 0.5, 1, 5, 10, 10.5, np.inf, -np.inf, np.nan]], np.float32)
    kept = np.isfinite(valid_depth(depth, None, (0.5, 10.0)))
    assert kept.tolist() == [[False, False, True, True, True, True, False, False, False, False]]
    unlimited = np.isfinite(valid_depth(depth, None, None))
    assert unlimited.tolist() == [[False, False, *[True] * 5, False, False, False]]


def test_the_range_speaks_of_the_meters_that_come_out() -> None:
    depth = np.array([[4.0, 6.0]], np.float32)
    assert np.isfinite(valid_depth(depth, 2.0, (0.5, 10.0))).tolist() == [[True, False]]
    assert valid_depth(depth, 2.0, None).tolist() == [[8.0, 12.0]]


def test_the_networks_buffer_is_not_written_to() -> None:
    depth = np.full((4, 4), 20.0, np.float32)
    depth.setflags(write=False)
    result = valid_depth(depth, None, (0.0, 10.0))
    assert np.isnan(result).all()
    assert result.dtype == np.float32


def test_millimeters_round_and_never_wrap() -> None:
    depth = np.array([[np.nan, np.inf, 0.0004, 0.0006, 65.535, 65.536, 1e6, 2.5]], np.float32)
    result = to_millimeters(depth)
    assert result.dtype == np.uint16
    assert result.tolist() == [[0, 0, 0, 1, 65535, 0, 0, 2500]]
