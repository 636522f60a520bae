# SPDX-License-Identifier: Apache-2.0
"""Pictures that an export is calibrated with: of whatever a robot recorded."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.export.calibration_images import MAX_IMAGES, read_calibration_images


def wallpaper(seed: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def write(folder: Path, pictures: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:04}.png"), picture[..., ::-1])
    return folder


def test_pictures_of_a_robot_that_stands_still_count_once(tmp_path: Path) -> None:
    """Twenty times the same corner with a sensor's noise, between two other views."""
    random = np.random.default_rng(0)
    corner = wallpaper(1, (320, 240)).astype(float)
    still = [np.rint(corner + random.normal(0, 4, corner.shape)).clip(0, 255).astype(np.uint8)
             for _ in range(20)]  # fmt: skip
    lines: list[str] = []
    folder = write(tmp_path / "run", [wallpaper(2), *still, wallpaper(3)])
    images = read_calibration_images(folder, lines.append)
    assert len(images) == 3
    np.testing.assert_array_equal(images[0], wallpaper(2))
    np.testing.assert_array_equal(images[1], still[0])
    assert lines == [
        f"calibration: 3 pictures, spread over {folder}; 19 show nearly the same as others and "
        "were left out",
        "note: 3 pictures that differ are few; ranges of int8 settle with 20 and more",
    ]


def test_of_many_pictures_some_are_taken_from_first_to_last(tmp_path: Path) -> None:
    pictures = [wallpaper(seed) for seed in range(100)]
    lines: list[str] = []
    images = read_calibration_images(write(tmp_path / "run", pictures), lines.append)
    assert len(images) == MAX_IMAGES
    np.testing.assert_array_equal(images[0], pictures[0])
    np.testing.assert_array_equal(images[-1], pictures[-1])
    assert lines[-1].startswith(f"calibration: {MAX_IMAGES} pictures, spread over")


def test_a_damaged_picture_is_told_and_the_others_are_taken(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [wallpaper(1), wallpaper(2)])
    (folder / "0000.png").write_bytes(b"no picture")
    lines: list[str] = []
    assert len(read_calibration_images(folder, lines.append)) == 1
    assert lines[0].startswith("note: left out: ")
    assert "0000.png" in lines[0]
    (folder / "0001.png").write_bytes(b"no picture either")
    with pytest.raises(InputError, match=r"0000\.png"):
        read_calibration_images(folder)


def test_topics_are_of_bags(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [wallpaper(1)])
    with pytest.raises(ConfigurationError, match="topics"):
        read_calibration_images(folder, topics=["/camera/image_raw"])
    with pytest.raises(InputError, match="give a bag, a video, a folder of pictures"):
        read_calibration_images(tmp_path / "nothing")
