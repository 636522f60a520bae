# SPDX-License-Identifier: Apache-2.0
"""How a camera's picture gets into the network, and what comes back out of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.fit import Fit

ROOT = Path(__file__).resolve().parents[2]
NETWORK = (96, 128)
PAD = (1, 2, 3)
SIZES = [
    (96, 128),
    (1, 1),
    (1, 7),
    (5, 1),
    (480, 640),
    (479, 641),
    (33, 77),
    (97, 127),
    (101, 11),
    (11, 101),
    (720, 1280),
    (1280, 720),
    (2160, 3840),
]


def fitted(image: NDArray[np.uint8], mode: str) -> tuple[Fit, NDArray[np.uint8]]:
    fit = Fit.plan((image.shape[0], image.shape[1]), NETWORK, mode)
    out = np.full((*NETWORK, 3), 99, np.uint8)
    fit.apply(image, out, PAD)
    return fit, out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_every_size_fills_its_content_and_pads_the_rest(size: tuple[int, int], mode: str) -> None:
    image = np.full((*size, 3), 200, np.uint8)
    fit, out = fitted(image, mode)
    assert (fit.crop(out) == 200).all()
    mask = np.ones(NETWORK, bool)
    fit.crop(mask)[...] = False
    assert (out[mask] == PAD).all()
    assert fit.crop(out).shape == (*fit.content_size, 3)
    if mode == "stretch":
        assert fit.content_size == NETWORK
    else:
        assert fit.content_size[0] == NETWORK[0] or fit.content_size[1] == NETWORK[1]
        before = fit.offset
        after = [n - o - c for n, o, c in zip(NETWORK, before, fit.content_size, strict=True)]
        assert all(0 <= a - b <= 1 for a, b in zip(after, before, strict=True))


def test_a_picture_of_the_networks_size_is_not_touched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*NETWORK, 3), np.uint8)
    for mode in ("letterbox", "stretch"):
        assert (fitted(image, mode)[1] == image).all()


def test_the_crop_is_a_view_so_that_nothing_is_copied() -> None:
    fit, out = fitted(np.zeros((50, 128, 3), np.uint8), "letterbox")
    assert np.shares_memory(fit.crop(out), out)
    assert fit.crop(out[..., 0]).shape == fit.content_size


@pytest.mark.parametrize("size", [(192, 256), (720, 1280), (1080, 1920), (721, 1280)])
def test_halving_first_gives_the_average_of_each_area(size: tuple[int, int]) -> None:
    picture = cv2.imread(str(ROOT / "demo/pictures/kinect_bookshelf.png"))
    image = np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    fit, out = fitted(image, "letterbox")
    height, width = fit.content_size
    exact = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    difference = np.abs(fit.crop(out).astype(int) - exact)
    assert difference.mean() < 2.0
    assert np.quantile(difference, 0.999) < 20


@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(960, 1280), (64, 2000), (2000, 64), (900, 130)])
def test_a_thin_pole_does_not_vanish(size: tuple[int, int], mode: str) -> None:
    for axis in (0, 1):
        for place in range(size[axis] // 2, size[axis] // 2 + 9):
            image = np.zeros((*size, 3), np.uint8)
            image[(slice(None),) * axis + (place,)] = 255
            fit, out = fitted(image, mode)
            brightness = float(fit.crop(out).astype(float).mean()) / 255
            # Area averaging keeps the sum of light: the pole's share of the picture.
            assert brightness == pytest.approx(1 / size[axis], rel=0.35), (axis, place)


def test_a_read_only_strided_picture_is_fine() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (60, 3 * 80 + 5), np.uint8)
    rows.setflags(write=False)
    view = np.ndarray((60, 80, 3), np.uint8, buffer=rows, strides=(245, 3, 1))
    assert (fitted(view, "letterbox")[1] == fitted(view.copy(), "letterbox")[1]).all()


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="empty"):
        Fit.plan(size, NETWORK, "letterbox")


def test_a_picture_of_which_nothing_would_be_left_is_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match=r"too long and thin.*fit: stretch"):
        Fit.plan((1, 100000), NETWORK, "letterbox")
    assert Fit.plan((1, 100000), NETWORK, "stretch").content_size == NETWORK


def test_another_fit_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'crop'.*letterbox, stretch"):
        Fit.plan((10, 10), NETWORK, "crop")


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 1])
@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_the_content_camera_sees_a_point_where_the_resized_picture_shows_it(
    size: tuple[int, int], mode: str
) -> None:
    """Scaling by s moves a pixel's centre u to (u + 0.5)·s − 0.5."""
    height, width = size
    camera = CameraModel.pinhole(width, height, 500.0, 510.0, 0.4 * width, 0.6 * height)
    fit = Fit.plan(size, NETWORK, mode)
    content = fit.content_camera(camera)
    assert (content.height, content.width) == fit.content_size
    point = np.array([0.3, -0.2, 2.5])
    u, v, _ = camera.K @ point / point[2]
    content_u, content_v, _ = content.K @ point / point[2]
    # The picture spans [-0.5, width - 0.5]: relative places are kept.
    assert (content_u + 0.5) / content.width == pytest.approx((u + 0.5) / width)
    assert (content_v + 0.5) / content.height == pytest.approx((v + 0.5) / height)


def test_the_resized_picture_agrees_with_the_camera_model() -> None:
    """A bright spot's centre of light lies where the model projects it."""
    camera = CameraModel.pinhole(640, 480, 500.0, 500.0, 319.5, 239.5)
    image = np.zeros((480, 640, 3), np.uint8)
    image[100:110, 201:211] = 255
    fit, out = fitted(image, "letterbox")
    light = fit.crop(out)[..., 0].astype(float)
    rows, columns = np.indices(light.shape)
    ray = np.array([(205.5 - 319.5) / 500, (104.5 - 239.5) / 500, 1.0])
    u, v, _ = fit.content_camera(camera).K @ ray
    assert (light * columns).sum() / light.sum() == pytest.approx(u, abs=0.02)
    assert (light * rows).sum() / light.sum() == pytest.approx(v, abs=0.02)


def test_the_focal_length_that_decides_depth() -> None:
    square = CameraModel.pinhole(640, 480, 600.0, 599.0, 319.5, 239.5)
    camera = CameraModel.pinhole(640, 480, 600.0, 300.0, 319.5, 239.5)
    letterbox = Fit.plan((480, 640), NETWORK, "letterbox")
    assert letterbox.effective_focal_length(square) == pytest.approx(600 * 0.2)
    # A driver that squashed the picture: no single focal length is right, the mean is least wrong.
    assert letterbox.effective_focal_length(camera) == pytest.approx((600 * 300) ** 0.5 * 0.2)
    wide = CameraModel.pinhole(1280, 480, 600.0, 300.0, 639.5, 239.5)
    stretch = Fit.plan((480, 1280), NETWORK, "stretch")
    assert stretch.is_stretched
    assert stretch.effective_focal_length(wide) == pytest.approx(np.sqrt(600 * 0.1 * 300 * 0.2))
    assert not Fit.plan((480, 640), NETWORK, "stretch").is_stretched


def test_padding_changes_no_depth() -> None:
    camera = CameraModel.pinhole(640, 240, 600.0, 600.0, 319.5, 119.5)
    padded = Fit.plan((240, 640), NETWORK, "letterbox")
    assert padded.offset[0] > 0
    assert padded.effective_focal_length(camera) == pytest.approx(600 * 0.2)
