# SPDX-License-Identifier: Apache-2.0
"""Straight lines are straight again, as image_proc would have it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.rectify import Rectifier

WIDTH, HEIGHT = 240, 180
K = np.array([[160.0, 0, 118.0], [0, 165.0, 92.0], [0, 0, 1]])
TURN = cv2.Rodrigues(np.array([0.02, -0.04, 0.03]))[0]
MODELS = {
    "plumb_bob": [-0.28, 0.07, 0.001, -0.002, 0.01],
    "rational_polynomial": [0.3, -0.2, 0.001, -0.001, 0.05, 0.6, -0.1, 0.02],
    "equidistant": [0.05, -0.02, 0.01, -0.003],
}


def lens(model: str, turned: bool = False) -> CameraModel:
    P = np.hstack([K, np.zeros((3, 1))])
    if turned:
        P = np.array([[140.0, 0, 121.0, -20.0], [0, 140.0, 88.0, 0], [0, 0, 1, 0]])
    return CameraModel(
        WIDTH,
        HEIGHT,
        K,
        np.array(MODELS[model]),
        model,
        np.asarray(TURN) if turned else np.eye(3),
        P,
    )


def where_from(camera: CameraModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Raw pixel of every rectified one, by the formulas of image_geometry's documentation."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    P = camera.P
    rays = np.stack([(u - P[0, 2]) / P[0, 0], (v - P[1, 2]) / P[1, 1], np.ones_like(u)])
    x, y, z = np.einsum("ji,jhw->ihw", camera.R, rays)  # the transpose of R
    x, y = x / z, y / z
    r2 = x * x + y * y
    if camera.distortion_model == "equidistant":
        k1, k2, k3, k4 = camera.D
        r = np.sqrt(r2)
        theta = np.arctan(r)
        t2 = theta**2
        bent = theta * (1 + k1 * t2 + k2 * t2**2 + k3 * t2**3 + k4 * t2**4)
        factor = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 1.0)
        x, y = x * factor, y * factor
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(camera.D, (0, 8 - camera.D.size))
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return camera.K[0, 0] * x + camera.K[0, 2], camera.K[1, 1] * y + camera.K[1, 2]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("turned", [False, True])
def test_every_pixel_comes_from_where_the_lens_put_it(model: str, turned: bool) -> None:
    camera = lens(model, turned)
    rectifier = Rectifier(camera)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.dstack([u, v, np.full_like(u, 255)]).astype(np.uint8)
    flat = rectifier.apply(image)
    from_u, from_v = where_from(camera)
    valid_mask = rectifier.valid_mask
    assert 0.5 < valid_mask.mean() <= 1.0
    assert np.abs(flat[..., 0][valid_mask] - from_u[valid_mask]).max() < 0.6
    assert np.abs(flat[..., 1][valid_mask] - from_v[valid_mask]).max() < 0.6
    margin = 0.05
    outside = (from_u < -margin) | (from_u > WIDTH - 1 + margin)
    outside |= (from_v < -margin) | (from_v > HEIGHT - 1 + margin)
    inside = (from_u > margin) & (from_u < WIDTH - 1 - margin)
    inside &= (from_v > margin) & (from_v < HEIGHT - 1 - margin)
    assert not valid_mask[outside].any()
    assert valid_mask[inside].all()


def test_the_same_as_opencv_undistorts() -> None:
    camera = lens("plumb_bob")
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.uint8)
    expected = cv2.undistort(image, camera.K, camera.D)
    assert np.abs(Rectifier(camera).apply(image).astype(int) - expected).max() <= 2


def test_what_comes_out_is_described_by_p_without_distortion() -> None:
    rectifier = Rectifier(lens("plumb_bob", turned=True))
    assert rectifier.camera.K[0, 0] == 140
    assert not rectifier.camera.is_distorted
    assert (np.eye(3) == rectifier.camera.R).all()
    assert rectifier.camera.P[0, 3] == -20


def test_black_borders_are_marked_as_not_seen() -> None:
    rectifier = Rectifier(lens("rational_polynomial"))
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    flat = rectifier.apply(white)
    assert (flat[rectifier.valid_mask] == 255).all()
    assert (flat[~rectifier.valid_mask] < 255).any(axis=-1).all()


@pytest.mark.parametrize(
    ("model", "count"), [("fov", 1), ("", 5), ("equidistant", 5), ("plumb_bob", 3)]
)
def test_an_unknown_lens_is_refused_with_a_way_out(model: str, count: int) -> None:
    camera = replace(lens("plumb_bob"), distortion_model=model, D=np.full(count, 0.1))
    with pytest.raises(InputError, match=r"plumb_bob.*rectify: off"):
        Rectifier(camera)


def test_a_fisheye_without_coefficients_is_still_a_fisheye() -> None:
    """r = f·θ: taken for a pinhole, rays were off by 0.36."""
    camera = replace(
        lens("equidistant"),
        K=np.array([[80.0, 0, 119.5], [0, 80.0, 89.5], [0, 0, 1]]),
        D=np.zeros(4),
        P=np.array([[80.0, 0, 119.5, 0], [0, 80.0, 89.5, 0], [0, 0, 1, 0]]),
    )
    assert camera.is_distorted
    rectifier = Rectifier(camera)
    u = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, WIDTH))
    row = rectifier.apply(np.ascontiguousarray(u))[89]
    for column in (0, 40, 119, 200, 239):
        angle = np.arctan2(column - 119.5, 80.0)  # of the ray of the rectified pixel
        assert row[column] == pytest.approx(119.5 + 80.0 * angle, abs=0.6)
    assert rectifier.camera.distortion_model == "plumb_bob"
    assert rectifier.camera.D.tolist() == [0.0] * 5
    assert not rectifier.camera.is_distorted


def test_what_lies_beyond_the_fold_of_the_polynomial_is_not_seen() -> None:
    """r(1 − r²/3) turns back at r = 1: rays beyond it would show the middle of the image again."""
    K = np.array([[60.0, 0, 119.5], [0, 60.0, 89.5], [0, 0, 1]])
    camera = CameraModel(
        WIDTH,
        HEIGHT,
        K,
        np.array([-1 / 3, 0.0, 0.0, 0.0, 0.0]),
        "plumb_bob",
        P=np.hstack([K, np.zeros((3, 1))]),
    )
    rectifier = Rectifier(camera)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    radius = np.hypot(u - 119.5, v - 89.5) / 60.0
    assert not rectifier.valid_mask[radius > 1.01].any()
    assert rectifier.valid_mask[radius < 0.99].all()
    white = np.full((HEIGHT, WIDTH), 255, np.uint8)
    assert (rectifier.apply(white)[radius > 1.05] == 0).all()


def test_a_new_calibration_needs_new_maps() -> None:
    camera = lens("plumb_bob")
    rectifier = Rectifier(camera)
    assert rectifier.fits(lens("plumb_bob"))
    for change in (
        {"D": camera.D * 1.01},
        {"K": camera.K * 1.01},
        {"R": np.asarray(TURN)},
        {"width": WIDTH + 1},
        {"distortion_model": "rational_polynomial"},
    ):
        assert not rectifier.fits(replace(camera, **change))  # type: ignore[arg-type]
