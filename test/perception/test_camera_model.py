# SPDX-License-Identifier: Apache-2.0
"""The camera model that follows the picture through scaling, cropping and padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import CameraModel


def stereo_right() -> CameraModel:
    model = CameraModel.pinhole(640, 480, 500.0, 520.0, 310.0, 250.0)
    P = model.P.copy()
    P[0, 3] = -500.0 * 0.12  # a baseline of 12 cm
    return replace(model, P=P)


def test_the_principal_point_moves_with_the_pixel_centers() -> None:
    half = stereo_right().resampled((0.5, 0.25), (0.0, 0.0), (320, 120))
    assert half.K[0, 0] == 250
    assert half.K[1, 1] == 130
    assert half.K[0, 2] == pytest.approx((310 + 0.5) * 0.5 - 0.5)
    assert half.K[1, 2] == pytest.approx((250 + 0.5) * 0.25 - 0.5)
    assert half.P[:, :3] == pytest.approx(half.K)


def test_a_stereo_cameras_baseline_survives_scaling() -> None:
    half = stereo_right().resampled((0.5, 0.5), (7.0, -3.0), (320, 240))
    baseline = -half.P[0, 3] / half.P[0, 0]
    assert baseline == pytest.approx(0.12)
    point = np.array([0.4, 0.1, 3.0, 1.0])
    u, v, w = stereo_right().P @ point
    x, y, z = half.P @ point
    assert x / z == pytest.approx((u / w + 0.5) * 0.5 - 0.5 + 7)
    assert y / z == pytest.approx((v / w + 0.5) * 0.5 - 0.5 - 3)


def test_there_and_back_is_where_it_began() -> None:
    model = stereo_right()
    there = model.resampled((0.3, 0.7), (0.0, 0.0), (192, 336))
    back = there.resampled((640 / 192, 480 / 336), (0.0, 0.0), (640, 480))
    assert pytest.approx(model.K) == back.K
    assert pytest.approx(model.P) == back.P


def test_back_projection_follows_p_as_depth_image_proc_does() -> None:
    model = stereo_right()
    P = model.P.copy()
    P[0, 0], P[0, 2] = 400.0, 300.0
    x, y = replace(model, P=P).ray_slopes()
    assert x[10] == pytest.approx((10 - 300) / 400)
    assert y[10] == pytest.approx((10 - 250) / 520)
    x, _ = replace(model, P=np.zeros((3, 4))).ray_slopes()
    assert x[10] == pytest.approx((10 - 310) / 500)


def test_the_rectified_model_is_what_p_says() -> None:
    raw = replace(stereo_right(), D=np.array([0.1, 0.0, 0.0, 0.0, 0.0]))
    P = raw.P.copy()
    P[0, 0] = 444.0
    raw = replace(raw, P=P)
    assert raw.is_distorted
    flat = raw.rectified()
    assert not flat.is_distorted
    assert flat.K[0, 0] == 444
    assert (np.eye(3) == flat.R).all()
    without = replace(raw, P=np.zeros((3, 4))).rectified()
    assert pytest.approx(raw.K) == without.K
    assert without.P[:, :3] == pytest.approx(raw.K)


def test_nan_and_zero_calibrations_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="not calibrated"):
        CameraModel(640, 480, np.zeros((3, 3)))
    for name in ("K", "D", "R", "P"):
        model = stereo_right()
        bad = np.array(getattr(model, name) if name != "D" else np.zeros(5))
        bad.flat[0] = np.nan
        with pytest.raises(InputError, match="NaN"):
            replace(model, **{name: bad})
