# SPDX-License-Identifier: Apache-2.0
"""Names of results on every disk."""

from __future__ import annotations

import pytest

from mtinet_ros.recordings.names import natural_order, safe_name, unique_names


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("../../etc/passwd", "_/_/etc/passwd-"),
        ("/absolute/0001", "absolute/0001-"),
        ("12:30:00", "12_30_00-"),
        ("caf\udce9/1", "caf_/1-"),
        ("a\nb", "a_b-"),
        ("x" * 400, "x" * 180 + "-"),
        ("ж" * 200, "ж" * 90 + "-"),
        ("dots...", "dots-"),
        ("", "_-"),
    ],
)
def test_a_result_never_lands_outside_its_folder(name: str, beginning: str) -> None:
    safe = safe_name(name)
    assert safe.startswith(beginning)
    assert len(safe) - len(beginning) == 8


def test_ordinary_names_stay() -> None:
    for name in ("kitchen/0001", "Küche 2/IMG_0001", "a.b/c-d"):
        assert safe_name(name) == name


def test_names_that_a_disk_would_mix_up_stay_two() -> None:
    assert unique_names(["Room.jpg", "room.jpg"]) == ["Room_jpg", "room_jpg_2"]
    assert unique_names(["a:b.png", "a?b.png"])[0] != unique_names(["a:b.png", "a?b.png"])[1]
    assert unique_names(["a.jpg", "a.png", "a_jpg.png"]) == ["a_jpg", "a_png", "a_jpg_2"]
    assert unique_names(["x/1.jpg", "y/1.jpg", ".hidden"]) == ["x/1", "y/1", ".hidden"]


def test_pictures_come_in_the_order_they_were_taken() -> None:
    names = ["b/1", "img10", "img2", "img02", "IMG3", "a/img1", "a/img11", "a/img2"]
    assert sorted(names, key=natural_order) == [
        *("a/img1", "a/img2", "a/img11", "b/1"),
        *("img02", "img2", "IMG3", "img10"),
    ]
