# SPDX-License-Identifier: Apache-2.0
"""CameraInfo is understood as drivers send it, and published as depth_image_proc reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sensor_msgs")
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from mtinet_ros.errors import InputError
from mtinet_ros.node.camera_info_message import camera_info_message, camera_model
from mtinet_ros.perception.fit import Fit

pytestmark = pytest.mark.ros


def info(**changes: Any) -> CameraInfo:
    fields: dict[str, Any] = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [0.1, 0.0, 0.0, 0.0, 0.0],
        "k": [500.0, 0, 310, 0, 520, 250, 0, 0, 1],
        "r": np.eye(3).ravel().tolist(),
        "p": [480.0, 0, 300, -48, 0, 490, 240, 0, 0, 0, 1, 0],
    }
    return CameraInfo(**{**fields, **changes})


def test_a_plain_calibration_is_taken_as_it_is() -> None:
    model = camera_model(info(), (480, 640))
    assert (model.width, model.height) == (640, 480)
    assert model.K.ravel().tolist() == [500, 0, 310, 0, 520, 250, 0, 0, 1]
    assert model.P.ravel().tolist() == info().p.tolist()
    assert model.D.tolist() == [0.1, 0, 0, 0, 0]


def test_a_region_of_interest_shifts_the_principal_point() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=50, width=320, height=240)
    model = camera_model(info(roi=roi), (240, 320))
    assert (model.K[0, 2], model.K[1, 2]) == (210, 200)
    assert (model.P[0, 2], model.P[1, 2]) == (200, 190)
    assert model.K[0, 0] == 500


def test_binning_scales_around_pixel_centers() -> None:
    model = camera_model(info(binning_x=2, binning_y=4), (120, 320))
    assert (model.K[0, 0], model.K[1, 1]) == (250, 130)
    assert model.K[0, 2] == pytest.approx((310 + 0.5) / 2 - 0.5)
    assert model.K[1, 2] == pytest.approx((250 + 0.5) / 4 - 0.5)
    assert model.P[0, 3] == -24


def test_a_region_is_cut_out_before_it_is_binned() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=50, width=320, height=240)
    model = camera_model(info(roi=roi, binning_x=2, binning_y=2), (120, 160))
    assert model.K[0, 2] == pytest.approx((310 - 100 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("size", [(480, 320), (0, 0), (240, 640)])
def test_a_calibration_for_another_size_is_named(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"for 640x480 pixels.*{size[1]}x{size[0]}"):
        camera_model(info(), size)


def test_no_calibration_nan_and_zeros_are_named() -> None:
    with pytest.raises(InputError, match="not calibrated"):
        camera_model(CameraInfo(width=640, height=480), (480, 640))
    with pytest.raises(InputError, match="NaN"):
        camera_model(info(k=[np.nan] * 9), (480, 640))
    with pytest.raises(InputError, match="NaN"):
        camera_model(info(d=[np.inf] * 5), (480, 640))
    with pytest.raises(InputError, match=r"for 0x0"):
        camera_model(CameraInfo(), (480, 640))


def test_drivers_that_leave_r_and_p_zero_are_understood() -> None:
    model = camera_model(info(r=[0.0] * 9, p=[0.0] * 12), (480, 640))
    assert np.array_equal(model.R, np.eye(3))
    assert (model.rectified().K == model.K).all()


def test_what_is_published_describes_the_published_picture() -> None:
    camera = camera_model(info(d=[]), (480, 640))
    fit = Fit.plan((480, 640), (96, 160), "letterbox")
    header = Header(frame_id="camera_optical_frame")
    message = camera_info_message(fit.content_camera(camera), header)
    assert message.header is header
    assert (message.width, message.height) == (128, 96)
    assert message.k[2] == pytest.approx((310 + 0.5) / 5 - 0.5)
    assert message.p[3] == pytest.approx(-48 / 5)
    assert message.p[6] == pytest.approx((240 + 0.5) / 5 - 0.5)
    assert message.roi == RegionOfInterest()
    assert (message.binning_x, message.binning_y) == (0, 0)
    assert message.distortion_model == "plumb_bob"


def test_there_and_back() -> None:
    message = camera_info_message(camera_model(info(), (480, 640)), Header())
    assert message == info()


def test_numbers_that_would_overflow_when_scaled_are_refused() -> None:
    """They would fail in the middle of a batch, and take the other cameras' frames with them."""
    huge = [1e308, 0, 310, 0, 0, 1e308, 250, 0, 0, 0, 1, 0]
    with pytest.raises(InputError, match="more than any lens has"):
        camera_model(info(p=huge), (480, 640))


@pytest.mark.parametrize(("distortion", "focal_length"), [(0.0, 500.0), (0.1, 0.0)])
def test_a_projection_that_is_missing_is_the_lens_of_a_straight_image(
    distortion: float, focal_length: float
) -> None:
    """depth_image_proc reads P alone; of a bent image it would be wrong to make one up."""
    model = camera_model(info(p=[0.0] * 12, d=[distortion, 0, 0, 0, 0]), (480, 640))
    sent = camera_info_message(model.resampled((0.5, 0.5), (0, 0), (320, 240)), Header())
    assert sent.p[0] == focal_length / 2
    assert model.K[0, 0] == 500
