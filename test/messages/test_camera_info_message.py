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
from mtinet_ros.messages.camera_info_message import camera_model
from mtinet_ros.node.message_factory import camera_info_message
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


@pytest.mark.parametrize("size", [(480, 320), (0, 0), (240, 640), (240, 320), (960, 640)])
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


@pytest.mark.parametrize(
    ("k", "fault"),
    [
        ([1.0, 0, 0, 0, 1, 0, 0, 0, 1], "field of view"),  # image_publisher's placeholder
        ([500.0, 0, 320, 0, 1, 240, 0, 0, 1], "focal lengths are 500 and 1"),
        ([500.0, 0, 320, 0, 500, 240, 0, 0, 2.5e-323], "last row"),
        ([500.0, 0, 320, 0, 500, 240, 0, 0, 0], "last row"),
        ([500.0, 0, 320, 0, 500, 240, 7, 0, 1], "last row"),
        ([25.0, 0, 320, 0, 25, 240, 0, 0, 1], "field of view"),  # 171 degrees
    ],
)
@pytest.mark.parametrize("matrix", ["k", "p"])
def test_a_placeholder_is_not_taken_for_a_calibration(
    k: list[float], fault: str, matrix: str
) -> None:
    """Depth would be NaN everywhere, or points a kilometer away, with diagnostics all well."""
    p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0]
    with pytest.raises(InputError, match=f"not calibrated.*{fault}"):
        camera_model(info(**{matrix: k if matrix == "k" else p}), (480, 640))


@pytest.mark.parametrize(
    "k",
    [
        [60.0, 0, 320, 0, 60, 240, 0, 0, 1],  # 159 degrees
        [500.0, 0, 320, 0, 250, 120, 0, 0, 1],  # one field of interlaced video
        [2.0e5, 0, 320, 0, 2.0e5, 240, 0, 0, 1],  # a telescope
    ],
)
def test_unusual_lenses_are_still_lenses(k: list[float]) -> None:
    assert camera_model(info(k=k), (480, 640)).K[0, 0] == k[0]


def test_a_fisheye_may_see_behind_itself_but_not_all_around_twice() -> None:
    k = [190.0, 0, 320, 0, 190, 240, 0, 0, 1]  # 640 / 190 rad: 193 degrees
    lens = {"distortion_model": "equidistant", "d": [0.0] * 4}
    assert camera_model(info(k=k, **lens), (480, 640)).is_distorted
    with pytest.raises(InputError, match="not calibrated"):
        camera_model(info(k=[1.0, 0, 320, 0, 1, 240, 0, 0, 1], **lens), (480, 640))


def test_a_camera_that_sends_p_alone_has_the_lens_of_p() -> None:
    """OAK and multisense cameras rectify in the camera and send no K."""
    model = camera_model(info(k=[0.0] * 9, d=[0.0] * 5), (480, 640))
    assert np.array_equal(model.K, model.P[:, :3])
    with pytest.raises(InputError, match="K is zero, and the image is distorted"):
        camera_model(info(k=[0.0] * 9), (480, 640))


@pytest.mark.parametrize(
    ("name", "given", "model", "count"),
    [
        ("fisheye", [0.1, 0, 0, 0], "equidistant", 4),
        ("equidistant", [0.1, 0, 0, 0, 0], "equidistant", 4),
        ("equidistant", [], "equidistant", 4),
        ("equidistant", [0.0] * 5, "equidistant", 4),
        ("", [0.1, 0, 0, 0, 0], "plumb_bob", 5),
        ("plumb_bob", [0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0], "plumb_bob", 8),
        ("rational_polynomial", [0.1] * 8 + [0] * 6, "rational_polynomial", 14),
        ("plumb_bob", [0.1] * 10, "plumb_bob", 10),  # refused when it comes to rectifying
        ("fov", [0.9], "fov", 1),
        ("Brown Conrady", [0.1, 0, 0, 0, 0], "plumb_bob", 5),
        ("radtan", [0.1, 0, 0, 0], "plumb_bob", 4),
        ("equi", [0.1, 0, 0, 0], "equidistant", 4),
        ("Equidistant", [0.0] * 4, "equidistant", 4),
        ("kannala_brandt4", [0.0] * 4, "equidistant", 4),
        ("none", [], "plumb_bob", 5),
    ],
)
def test_lenses_by_the_names_drivers_give_them(
    name: str, given: list[float], model: str, count: int
) -> None:
    understood = camera_model(info(distortion_model=name, d=given), (480, 640))
    assert (understood.distortion_model, understood.D.size) == (model, count)


@pytest.mark.parametrize(
    "wrong",
    [
        {"roi": RegionOfInterest(width=320, height=240, x_offset=160, y_offset=120)},
        {"roi": RegionOfInterest(width=320, height=240)},
        {"binning_x": 2, "binning_y": 2},
    ],
)
def test_a_leftover_region_or_binning_is_no_reason_to_scale(wrong: dict[str, Any]) -> None:
    """The focal length would be doubled, and depth with it."""
    with pytest.raises(InputError, match="for 320x240 pixels, the image has 640x480"):
        camera_model(info(**wrong), (480, 640))


@pytest.mark.parametrize("size", [(2880, 3840), (480 * 640, 640 * 640)])
def test_no_driver_enlarges_that_much(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="for 640x480"):
        camera_model(info(), size)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"k": [500.0, 0, 1e9, 0, 500, 240, 0, 0, 1]}, "principal point"),
        ({"k": [500.0, 0, 320, 0, 500, -5000, 0, 0, 1]}, "principal point"),
        ({"k": [500.0, 0, 0, 0, 500, 0, 0, 0, 1]}, "principal point"),
        ({"p": [500.0, 0, 1e6, 0, 0, 500, 240, 0, 0, 0, 1, 0]}, "P's principal point"),
        ({"p": [500.0, 400, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]}, "P's skew"),
        ({"r": [2.0, 0, 0, 0, 2, 0, 0, 0, 2]}, "R is no rotation"),
        ({"r": [1.0, 0, 0, 0, 0, 0, 0, 0, 0]}, "R is no rotation"),
        ({"r": [1.0, 0, 0, 0, 1, 0, 0, 0, -1]}, "R is no rotation"),
    ],
)
def test_leftovers_of_memory_are_no_calibration(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=f"not calibrated.*{fault}"):
        camera_model(info(**changes), (480, 640))


def test_a_k_that_is_zero_but_for_its_corner_is_zero() -> None:
    model = camera_model(info(k=[0.0] * 8 + [1.0], d=[]), (480, 640))
    assert np.array_equal(model.K, model.P[:, :3])


@pytest.mark.parametrize("size", [(960, 1280), (1440, 1920)])
def test_a_calibration_of_a_whole_fraction_of_the_size_is_scaled(size: tuple[int, int]) -> None:
    factor = size[0] // 480
    model = camera_model(info(), size)
    assert (model.width, model.height) == (size[1], size[0])
    assert model.K[0, 0] == 500 * factor
    assert model.K[0, 2] == pytest.approx((310 + 0.5) * factor - 0.5)
    assert model.P[0, 3] == -48 * factor


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


@pytest.mark.parametrize("store", ["ROS1_NOETIC", "ROS2_FOXY", "ROS2_KILTED"])
@pytest.mark.parametrize("changes", [{}, {"d": []}, {"r": [0.0] * 9, "p": [0.0] * 12}])
def test_a_calibration_from_a_bag_is_the_same_lens(store: str, changes: dict[str, Any]) -> None:
    """Arrays of NumPy, and in ROS 1 capital letters."""
    typesys = pytest.importorskip("rosbags.typesys")
    types = typesys.get_typestore(typesys.Stores[store]).types
    sent = info(roi=RegionOfInterest(x_offset=100, width=320, height=480), **changes)
    fields = {name: getattr(sent, name) for name in sent.get_fields_and_field_types()}
    stamp = types["builtin_interfaces/msg/Time"](0, 0)
    seq = {"seq": 0} if store.startswith("ROS1") else {}
    fields["header"] = types["std_msgs/msg/Header"](stamp=stamp, frame_id="", **seq)
    for name in "dkrp":
        spelled = name.upper() if store.startswith("ROS1") else name
        fields[spelled] = np.array(fields.pop(name), np.float64)
    from_bag = types["sensor_msgs/msg/CameraInfo"](**fields)
    lens, expected = (camera_model(message, (480, 320)) for message in (from_bag, sent))
    assert camera_info_message(lens, Header()) == camera_info_message(expected, Header())
    assert lens.K[0, 2] == 210.0
