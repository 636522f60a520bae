# SPDX-License-Identifier: Apache-2.0
"""What a network learns from must be true: depth, normals, labels, poses agree with each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.scenes.classes import CLASSES, NAMES, PALETTE, from_nyu40
from mtinet_ros.scenes.geometry.mesh import Material, box, quad
from mtinet_ros.scenes.geometry.scene import SceneBuilder
from mtinet_ros.scenes.rendering.camera import Camera, look_at
from mtinet_ros.scenes.rendering.lighting import Lighting
from mtinet_ros.scenes.rendering.render import render
from mtinet_ros.scenes.rendering.surfaces import Surfaces
from mtinet_ros.scenes.storage.check import compare_normals
from mtinet_ros.scenes.storage.dataset import SPLITS, SceneDataset
from mtinet_ros.visualization.colors import LabelColors


def test_the_tiny_set_is_small_and_has_all_splits(tiny_rooms: Path) -> None:
    size = sum(path.stat().st_size for path in tiny_rooms.rglob("*") if path.is_file())
    assert size <= 2_000_000
    for split in SPLITS:
        assert len(SceneDataset(tiny_rooms, split)) > 0


@pytest.mark.parametrize("split", SPLITS)
def test_arrays_have_the_promised_types_and_ranges(tiny_rooms: Path, split: str) -> None:
    data = SceneDataset(tiny_rooms, split)
    for index in range(len(data)):
        frame = data[index]
        assert frame.rgb.shape == (48, 64, 3)
        assert frame.rgb.dtype == np.uint8
        assert frame.classes.dtype == np.uint8
        assert set(np.unique(frame.classes)) <= {*range(13), VOID_ID}
        assert frame.instance.dtype == np.uint16
        assert frame.depth.dtype == np.float32
        assert 0 <= frame.depth.min() <= frame.depth.max() < 50
        assert frame.normals.dtype == np.int8
        length = np.linalg.norm(frame.normals.astype(float), axis=-1)
        hit = frame.depth > 0
        np.testing.assert_allclose(length[hit], 127, atol=1.0)
        assert (length[~hit] == 0).all()
        rotation = frame.world_from_camera[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_normals_rendered_are_the_normals_of_the_depth(tiny_rooms: Path) -> None:
    data = SceneDataset(tiny_rooms, "train")
    for index in range(len(data)):
        angle, away = compare_normals(data[index])
        assert angle < 1.5
        assert away == 0


def test_instances_have_the_class_their_list_says(tiny_rooms: Path) -> None:
    data = SceneDataset(tiny_rooms, "train")
    for index in range(len(data)):
        frame = data[index]
        listed = json.loads((tiny_rooms / "train" / frame.scene / "scene.json").read_text())
        for instance in np.unique(frame.instance[frame.instance > 0]):
            classes = np.unique(frame.classes[frame.instance == instance])
            name = listed["instances"][str(instance)]["class"]
            assert classes.tolist() == [NAMES.index(name)]


def test_consecutive_video_frames_show_the_same_world(tiny_rooms: Path) -> None:
    """Points of one frame, carried over by depth and poses, meet the surfaces of the next."""
    data = SceneDataset(tiny_rooms, "train")
    first, second = (data[index] for index in data.videos()[0][:2])
    fx, fy, cx, cy = first.intrinsics
    y, x = np.mgrid[0:48, 0:64]
    points = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x, float)], -1)
    points = (points * first.depth[..., None]).reshape(-1, 3)
    world = points @ first.world_from_camera[:3, :3].T + first.world_from_camera[:3, 3]
    local = (world - second.world_from_camera[:3, 3]) @ second.world_from_camera[:3, :3]
    u = np.rint(local[:, 0] / local[:, 2] * fx + cx).astype(int)
    v = np.rint(local[:, 1] / local[:, 2] * fy + cy).astype(int)
    seen = (u >= 0) & (u < 64) & (v >= 0) & (v < 48) & (local[:, 2] > 0)
    error = np.abs(second.depth[v[seen], u[seen]] - local[seen, 2]) / local[seen, 2]
    assert np.median(error) < 0.02


def test_depth_and_normals_of_a_known_wall_are_exact() -> None:
    room = SceneBuilder("test", (4.0, 4.0, 3.0), None, np.zeros((128, 512, 3), np.float32))
    gray = Material((0.5, 0.5, 0.5))
    room.add(quad((4, 0, 0), (0, 4, 0), (0, 0, 3), gray), "wall", "wall")  # the plane x = 4
    room.add(box((0.4, 0.4, 0.4), gray, (3.0, 2.0, 0.0)), "table", "table")
    surfaces = Surfaces(room.build())
    rng = np.random.default_rng(0)
    camera = Camera(
        (40.0, 40.0, 31.5, 23.5), look_at(np.array([1.0, 2.0, 1.0]), 0, 0, 0), (48, 64)
    )
    rendered = render(camera, surfaces, Lighting(surfaces, rng), rng)
    wall = rendered.classes == NAMES.index("wall")
    assert wall.any()
    np.testing.assert_allclose(rendered.depth[wall], 3.0, atol=1e-5)
    np.testing.assert_allclose(rendered.normals[wall], [[0, 0, -1]] * wall.sum(), atol=1e-6)
    top = (rendered.classes == NAMES.index("table")) & (rendered.normals[..., 1] < -0.9)
    assert top.any()  # the top of the table looks up, which is −y in the camera
    empty = rendered.depth == 0
    assert (rendered.classes[empty] == VOID_ID).all()
    assert (rendered.instance[empty] == 0).all()


def test_every_class_merges_nyu_labels_and_none_is_merged_twice() -> None:
    merged = [label for entry in CLASSES for label in entry.nyu40]
    assert len(merged) == len(set(merged)) == 39
    assert set(range(1, 41)) - set(merged) == {18}
    assert len(set(NAMES)) == len(set(PALETTE)) == 13
    assert from_nyu40(np.array([[1, 25, 18, 0]], np.uint8)).tolist() == [[0, 11, 255, 255]]
    colors = LabelColors(PALETTE).colorize(np.array([[0, VOID_ID]], np.uint8))
    assert colors.tolist() == [[list(PALETTE[0]), [0, 0, 0]]]
