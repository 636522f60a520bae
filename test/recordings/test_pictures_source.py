# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures as people have them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.frame import Interval
from mtinet_ros.recordings.lens import LensOptions
from mtinet_ros.recordings.pictures_source import PERIOD, PicturesSource


def picture(path: Path, gray: int = 90, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), gray, np.uint8))
    return path


def names(source: PicturesSource, *interval: int | None) -> list[str]:
    return [frame.name for frame in source.read(Interval(*interval))]


def test_a_folder_and_all_in_it_in_natural_order(tmp_path: Path) -> None:
    for name in (
        "img10.png",
        "img2.png",
        "hall/1.jpg",
        "room/1.JPG",
        ".trash/3.png",
        "._img2.png",
    ):
        picture(tmp_path / name.replace("._img2.png", "img1.png"))
    (tmp_path / "._img2.png").write_bytes(b"\0")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "loop").symlink_to(tmp_path)
    source = PicturesSource(tmp_path)
    assert names(source) == ["hall/1", "img1", "img2", "img10", "room/1"]
    assert [frame.time for frame in source.read(Interval())] == [i * PERIOD for i in range(5)]
    assert source.interval() == Interval(0, 5 * PERIOD)
    assert source.cameras[0].frames == 5


def test_any_part_of_a_folder(tmp_path: Path) -> None:
    for index in range(4):
        picture(tmp_path / f"{index}.png")
    source = PicturesSource(tmp_path)
    assert names(source, 1, 2 * PERIOD + 1) == ["1", "2"]
    assert names(source, PERIOD, 2 * PERIOD) == ["1"]
    assert names(source, 9 * PERIOD, None) == []


def test_results_are_not_taken_for_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "room.png")
    picture(tmp_path / "out" / "overlay" / "room.png")
    (tmp_path / "out" / ".mtinet_process").mkdir()
    assert names(PicturesSource(tmp_path)) == ["room"]


def test_what_a_telephone_saved_in_another_format_is_told(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(InputError, match=r"holds 1 pictures, but none .* e\.g\. IMG_1\.HEIC"):
        PicturesSource(tmp_path)
    picture(tmp_path / "IMG_2.JPG")
    source = PicturesSource(tmp_path)
    assert names(source) == ["IMG_2"]
    assert source.problems == [
        f"{tmp_path} holds 1 pictures that are not read (.heic); convert them to jpeg or png"
    ]


def test_a_pattern_and_a_list(tmp_path: Path) -> None:
    for name in ("a/left_1.png", "a/right_1.png", "b/left_2.png", "c[1].png"):
        picture(tmp_path / name)
    assert names(PicturesSource(tmp_path / "*/left_*.png")) == ["a/left_1", "b/left_2"]
    assert names(PicturesSource(tmp_path / "**/*_1*")) == ["left_1", "right_1"]
    both = PicturesSource(
        [tmp_path / "b", tmp_path / "a" / "left_1.png", tmp_path / "b/left_2.png"]
    )
    assert names(both) == ["b/left_2", "a/left_1"]
    assert names(PicturesSource(tmp_path / "c[1].png")) == ["c[1]"]


def test_one_bad_picture_does_not_stop_the_others(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    (tmp_path / "2.png").write_text("Dear all, here is the picture.")
    picture(tmp_path / "3.png")
    frames = list(PicturesSource(tmp_path).read(Interval()))
    assert len(frames) == 3
    with pytest.raises(InputError, match=r"2\.png is no picture"):
        frames[1].decode()
    assert frames[2].decode().image.shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("empty", "holds no pictures"),
        ("nothing.png", "cannot read picture .*nothing.png: No such file"),
        ("*.tiff", "no file is called like"),
    ],
)
def test_nothing_to_read_is_named(tmp_path: Path, path: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=sentence):
        PicturesSource(tmp_path / path)


def test_a_picture_of_another_size_than_the_calibration_is_named(tmp_path: Path) -> None:
    calibration = tmp_path / "ost.yaml"
    calibration.write_text(
        "image_width: 8\nimage_height: 6\ncamera_matrix: {rows: 3, cols: 3, data: "
        "[9, 0, 4, 0, 9, 3, 0, 0, 1]}\n"
    )
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png", size=(10, 6))
    frames = list(PicturesSource(tmp_path, LensOptions(calibration=calibration)).read(Interval()))
    assert frames[0].decode().camera.K[0, 0] == 9.0
    with pytest.raises(InputError, match=r"2\.png: the picture has 10x6 pixels, .* is for 8x6"):
        frames[1].decode()
