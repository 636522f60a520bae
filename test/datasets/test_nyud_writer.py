# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms written as NYUD_MT come back as they were, each frame with its own lens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_layout import LENSES, MARKER
from mtinet_ros.datasets.nyud_writer import outlines, write_rooms
from mtinet_ros.datasets.rooms import RoomSamples
from mtinet_ros.errors import DataError
from mtinet_ros.scenes.classes import NAMES

ROWS, COLUMNS = 24, 32


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Two training frames and no other: a wall with a picture, and something void."""
    root = tmp_path / "rooms"
    folder = root / "train" / "scene_00000"
    folder.mkdir(parents=True)
    (root / "index.json").write_text(json.dumps({"format": "mtinet_ros.scenes"}))
    labels = np.zeros((2, ROWS, COLUMNS), np.uint8)
    labels[:, 8:16, 8:16] = NAMES.index("picture")
    labels[:, 20:] = 255
    normals = np.zeros((2, ROWS, COLUMNS, 3), np.int8)
    normals[..., 2] = -127
    arrays = {
        "rgb": np.full((2, ROWS, COLUMNS, 3), 90, np.uint8),
        "classes": labels,
        "instance": labels.astype(np.uint16),
        "depth": np.full((2, ROWS, COLUMNS), 2.5, np.float32),
        "normals": normals,
        "intrinsics": np.array([[25.0, 25.0, 15.5, 11.5], [30.0, 30.0, 15.5, 11.5]]),
        "pose": np.tile(np.eye(4), (2, 1, 1)),
        "path": np.full((2, 2), -1, np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "scene.json").write_text("{}")
    return root


def test_rooms_come_back(rooms: Path, tmp_path: Path) -> None:
    target = tmp_path / "NYUD_MT"
    assert write_rooms(rooms, target) == 2
    back, source = NyudSamples(str(target), "train"), RoomSamples(str(rooms), "train")
    assert back.names == ["scene_00000_00000", "scene_00000_00001"]
    assert back.class_names == NAMES
    for index in range(2):
        before, after = source[index], back[index]
        for task, truth in before.targets.items():
            np.testing.assert_array_equal(after.targets[task], truth)
        assert after.intrinsics == before.intrinsics
        assert abs(int(after.image[5, 5, 0]) - 90) <= 2  # a JPEG
    assert back[0].targets["edge"][7, 7:17].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    with pytest.raises(DataError, match=r"val\.txt lists no frames"):
        NyudSamples(str(target), "val")


def test_a_folder_of_version_0_1_is_taken_up(rooms: Path, tmp_path: Path) -> None:
    target = tmp_path / "NYUD_MT"
    write_rooms(rooms, target)
    old = '{"normals_axes": "camera_optical", "depth": "metres along the optical axis"}'
    (target / MARKER).write_text(old)
    (target / LENSES).unlink()
    assert NyudSamples(str(target), "train")[0].intrinsics is None
    write_rooms(rooms, target)
    assert NyudSamples(str(target), "train")[0].intrinsics is not None


def test_outlines_are_where_regions_meet() -> None:
    regions = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]], np.uint16)
    assert outlines(regions).tolist() == [[0, 1, 0], [1, 1, 1], [0, 0, 0]]
