# SPDX-License-Identifier: Apache-2.0
"""What can be played as a camera, and what is refused with a sentence."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.demo.sources import open_source
from mtinet_ros.errors import InputError
from mtinet_ros.image_files import write_png


def picture(value: int) -> np.ndarray:
    return np.full((24, 32, 3), value, np.uint8)


def test_a_picture_is_repeated_for_ever(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture(9))
    for image, camera in itertools.islice(open_source(str(tmp_path / "a.png")), 3):
        assert (image == 9).all()
        assert camera is None


def test_a_folder_is_played_in_order_and_again(tmp_path: Path) -> None:
    for index in range(3):
        write_png(tmp_path / f"{index}.png", picture(index))
    shots = itertools.islice(open_source(str(tmp_path)), 7)
    assert [int(image[0, 0, 0]) for image, _ in shots] == [0, 1, 2, 0, 1, 2, 0]


def test_a_video_is_played_and_again(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write a video")
    for value in (20, 120, 220):
        writer.write(picture(value))
    writer.release()
    shots = itertools.islice(open_source(str(path)), 6)
    values = [int(image.mean()) for image, _ in shots]
    assert values == pytest.approx([20, 120, 220, 20, 120, 220], abs=6)


def test_the_bundled_pictures_come_with_their_lenses() -> None:
    shots = list(itertools.islice(open_source(""), 12))
    for image, camera in shots:
        assert camera is not None
        assert image.shape == (camera.height, camera.width, 3)
    assert shots[0][1].K[0, 0] == 521.2  # type: ignore[union-attr]
    assert shots[5][1].K[1, 1] == 539.2  # type: ignore[union-attr]
    assert not np.array_equal(shots[4][0], shots[5][0])
    assert not np.array_equal(shots[10][0], shots[11][0])  # the camera pans


def test_what_is_missing_empty_or_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "v.mp4").write_bytes(b"no video")
    for name, reason in (
        ("missing.mp4", "does not exist"),
        ("folder", "holds no pictures"),
        ("v.mp4", "for a file, that it is a video"),
    ):
        with pytest.raises(InputError, match=rf"{name}.*{reason}"):
            next(open_source(str(tmp_path / name)))


def test_what_cannot_be_read_of_a_folder_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(tmp_path / "0.png", picture(0))
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "._0.png").write_bytes(b"\0\x05")
    shots = itertools.islice(open_source(str(tmp_path)), 3)
    assert [int(image[0, 0, 0]) for image, _ in shots] == [0, 0, 0]
    assert "1.png" in capsys.readouterr().err
    (tmp_path / "0.png").unlink()
    with pytest.raises(InputError, match=r"1\.png"):
        open_source(str(tmp_path))


def test_a_video_of_another_encoding_does_not_crash(tmp_path: Path) -> None:
    video = tmp_path / os.fsdecode(b"caf\xe9.avi")
    video.write_bytes(b"RIFF")
    with pytest.raises(InputError, match="rename it"):
        next(open_source(str(video)))
