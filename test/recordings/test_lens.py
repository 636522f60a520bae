# SPDX-License-Identifier: Apache-2.0
"""Calibration files as ROS's tools, OpenCV and people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.recordings.lens import FileLens, LensOptions, read_calibration
from mtinet_ros.recordings.problem_list import ProblemList

# As camera_calibration's cameracalibrator writes ost.yaml.
OST = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [516.42, 0.     , 318.77,
           0.     , 517.02, 255.31,
           0.     , 0.     , 1.     ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.2624, -0.9531, -0.0054, 0.0026, 1.1633]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0.,
         0., 1., 0.,
         0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [514.12, 0.     , 319.5 , 0.     ,
           0.     , 515.9 , 254.2 , 0.     ,
           0.     , 0.     , 1.     , 0.     ]
"""
# As camera_info_manager stores it, through yaml-cpp.
STORED = """\
image_width: 640
image_height: 480
camera_name: camera
camera_matrix:
  rows: 3
  cols: 3
  data: [516.42, 0, 318.77, 0, 517.02, 255.31, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.2624, -0.9531, -0.0054, 0.0026, 1.1633]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [514.12, 0, 319.5, 0, 0, 515.9, 254.2, 0, 0, 0, 1, 0]"""
ECHOED = """\
header:
  stamp: {sec: 1, nanosec: 0}
  frame_id: camera
height: 480
width: 640
distortion_model: plumb_bob
d: [0.2624, -0.9531, -0.0054, 0.0026, 1.1633]
k: [516.42, 0.0, 318.77, 0.0, 517.02, 255.31, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [514.12, 0.0, 319.5, 0.0, 0.0, 515.9, 254.2, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
binning_y: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""
# As OpenCV's calibration sample writes it, which knows no projection.
OPENCV = """\
%YAML:1.0
---
calibration_time: "Mon 01 Jan 2024"
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 5.1642e+02, 0., 3.1877e+02, 0., 5.1702e+02, 2.5531e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ 2.624e-01, -9.531e-01, -5.4e-03, 2.6e-03, 1.1633e+00 ]
"""


@pytest.mark.parametrize("text", [OST, STORED, ECHOED, OPENCV, OST.replace("plumb_bob", "''")])
def test_one_calibration_in_every_dress(tmp_path: Path, text: str) -> None:
    (tmp_path / "camera.yaml").write_text(text)
    calibration = read_calibration(tmp_path / "camera.yaml")
    assert (calibration.width, calibration.height) == (640, 480)
    assert calibration.k == (516.42, 0, 318.77, 0, 517.02, 255.31, 0, 0, 1)
    assert calibration.d == (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    assert calibration.p[0] == (0.0 if text is OPENCV else 514.12)


def test_an_old_file_without_a_model_means_plumb_bob(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OST.replace("distortion_model: plumb_bob\n", ""))
    assert read_calibration(tmp_path / "old.yaml").distortion_model == "plumb_bob"


def test_a_picture_is_rectified_as_the_node_does(tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_text(OST)
    problems: list[str] = []
    image = np.full((480, 640, 3), 200, np.uint8)
    told = ProblemList(problems, "room.png")
    decoded = FileLens(LensOptions(calibration=tmp_path / "camera.yaml"), "camera", told).apply(
        image
    )
    np.testing.assert_array_equal(decoded.camera.K[:2], [[514.12, 0, 319.5], [0, 515.9, 254.2]])
    assert not decoded.camera.D.any()
    assert not decoded.valid_mask.all()
    assert (decoded.image[~decoded.valid_mask] < 200).any()
    assert problems == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no camera_matrix"),
        ("just words", "holds no camera_matrix"),
        ("a: [1, 2", "is no YAML file"),
        ("\0\1\2", "is no YAML file"),
        (OST.replace("image_width: 640", "image_width: wide"), "image_width is wide, not a pos"),
        (OST.replace("516.42, 0.     ,", "516.42,"), "camera_matrix holds 8 numbers, 9 are all"),
        (OST.replace("camera_matrix", "matrix"), "holds no camera_matrix"),
        (OST.replace("516.42", "0"), "not calibrated: focal lengths"),
        (OST.replace("516.42", "many"), "camera_matrix holds 0 numbers"),
        ("!!python/object/apply:os.system ['true']", "is no YAML file"),
    ],
)
def test_what_is_no_calibration_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_calibration(path)
    assert str(path) in str(caught.value)


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(ConfigurationError, match="choose one"):
        LensOptions(focal_length=500.0, calibration=Path("ost.yaml"))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="give a positive number of pixels"):
            LensOptions(focal_length=wrong)
