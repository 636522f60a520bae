# SPDX-License-Identifier: Apache-2.0
"""Pictures are read or refused by name; results come back as they were written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import (
    MAX_PIXELS,
    decode_image_file,
    list_images,
    read_image,
    write_png,
)

RED_LEFT = np.zeros((20, 30, 3), np.uint8)
RED_LEFT[:, :15, 0] = 255


def test_a_picture_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", RED_LEFT)
    assert (read_image(tmp_path / "a.png") == RED_LEFT).all()


def test_labels_and_millimeters_keep_every_value(tmp_path: Path) -> None:
    for pixels in (
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16),
    ):
        write_png(tmp_path / "x.png", pixels)
        back = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)
        assert back is not None
        assert back.dtype == pixels.dtype
        assert (back == pixels).all()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("text.png", "empty.jpg", "missing.png"):
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)


def test_a_picture_cut_short_is_not_taken_for_gray(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, np.random.default_rng(0).integers(0, 255, (90, 90, 3)))[1]
        (tmp_path / f"cut{suffix}").write_bytes(data.tobytes()[:-40])
        with pytest.raises(InputError, match="cut short"):
            read_image(tmp_path / f"cut{suffix}")


def test_a_photograph_is_turned_upright_but_a_cameras_frame_is_not() -> None:
    jpeg = cv2.imencode(".jpg", RED_LEFT)[1].tobytes()
    # An EXIF block with the one entry Orientation (0x0112) = 6: turn by 90 degrees.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    data = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    array = np.frombuffer(data, np.uint8)
    assert decode_image_file(array, upright=True).shape == (30, 20, 3)
    assert decode_image_file(array, upright=False).shape == (20, 30, 3)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    png = bytearray(cv2.imencode(".png", RED_LEFT)[1].tobytes())
    png[16:24] = (60000).to_bytes(4, "big") + (60000).to_bytes(4, "big")
    jpeg = bytearray(cv2.imencode(".jpg", RED_LEFT)[1].tobytes())
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = (60000).to_bytes(2, "big") * 2
    for data in (png, jpeg):
        with pytest.raises(InputError, match=f"60000x60000 pixels.*{MAX_PIXELS}"):
            decode_image_file(np.frombuffer(bytes(data), np.uint8), upright=True)


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        list_images(tmp_path / "none")
    assert list_images(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    for target in (
        tmp_path / "missing" / "a.png",
        tmp_path / "file" / "a.png",  # its folder is a file
        tmp_path / "folder.png",  # it is a folder itself
    ):
        with pytest.raises(InputError, match="cannot write"):
            write_png(target, RED_LEFT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]
