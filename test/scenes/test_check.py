# SPDX-License-Identifier: Apache-2.0
"""The check must catch what once spoilt a training: each fault is planted, and must be found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.nyud_writer import outlines, prepare_rooms, write_rooms
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.scenes.classes import NAMES
from mtinet_ros.scenes.storage.check import check, shows_bed_head_on
from mtinet_ros.scenes.storage.dataset import SPLITS, SceneDataset


@pytest.fixture
def copy(tiny_rooms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_rooms, tmp_path / "copy"))


def spoil(root: Path, name: str, change: object) -> None:
    for path in root.glob(f"*/*/{name}.npy"):
        array = np.load(path)
        np.save(path, change(array))  # type: ignore[operator]


def failures(root: Path) -> str:
    return "\n".join(check(root, write=False).failures)


def test_a_class_that_never_appears_is_missed(copy: Path) -> None:
    door = NAMES.index("door")
    spoil(copy, "classes", lambda labels: np.where(labels == door, 0, labels).astype(np.uint8))
    assert "no door at all" in failures(copy)


def test_a_rare_class_is_below_its_floor(copy: Path) -> None:
    tv = NAMES.index("tv")

    def one_pixel(labels: np.ndarray) -> np.ndarray:
        labels = np.where(labels == tv, 0, labels).astype(np.uint8)
        labels[0, 0, 0] = tv
        return labels

    spoil(copy, "classes", one_pixel)
    assert "tv fills" in failures(copy)


@pytest.mark.parametrize(
    "spoiled",
    [
        "", "[]", "null", "{}", '{"kind": "office"}', '{"kind": "office", "instances": []}',
        '{"kind": "office", "instances": {"1": {"class": "bed", "name": "bed", "yaw": 0}}}',
        '{"kind": "office", "instances": {"1": {"class": "bed", "name": "bed", "yaw": null, '
        '"low": [0, 0, 0], "high": [1, 1, 1]}}}',
        '{"kind": "office", "instances": {"one": {"class": "bed", "name": "bed", "yaw": 0, '
        '"low": [0, 0, 0], "high": [1, 1, 1]}}}',
    ],
)  # fmt: skip
def test_a_damaged_description_is_a_sentence(spoiled: str, copy: Path) -> None:
    scene = next(copy.glob("train/*/scene.json"))
    scene.write_text(spoiled)
    with pytest.raises(DataError, match=rf"scene {scene.parent} is damaged \(scene.json: .+\); "):
        check(copy, write=False)


def test_empty_depth_is_found(copy: Path) -> None:
    spoil(copy, "depth", np.zeros_like)
    assert "depth is empty" in failures(copy)


def test_normals_that_disagree_with_depth_are_found(copy: Path) -> None:
    spoil(copy, "normals", lambda normals: normals[..., [1, 0, 2]])
    assert "normals disagree" in failures(copy)


def test_normals_that_face_away_are_found(copy: Path) -> None:
    spoil(copy, "normals", lambda normals: -normals)
    assert "face away" in failures(copy)


def test_beds_seen_from_their_foot_are_counted(tiny_rooms: Path) -> None:
    """A camera at the foot counts, one at the side does not."""
    frame = SceneDataset(tiny_rooms, "train")[0]
    bed = {"class": "bed", "low": [1, 1, 0], "high": [2.4, 3, 0.6], "yaw": 0.0}  # foot to −y
    everything = np.ones_like(frame.instance)
    world_from_camera = np.eye(4)
    world_from_camera[:3, 3] = 1.6, -0.5, 1.2
    assert shows_bed_head_on(
        replace(frame, instance=everything, world_from_camera=world_from_camera), {"1": bed}
    )
    world_from_camera[:3, 3] = 4.0, 2.0, 1.2
    assert not shows_bed_head_on(
        replace(frame, instance=everything, world_from_camera=world_from_camera), {"1": bed}
    )


def test_labels_outside_the_table_are_found(copy: Path) -> None:
    spoil(copy, "classes", lambda labels: np.where(labels == 0, 77, labels).astype(np.uint8))
    assert "labels that are no class" in failures(copy)


def test_the_report_shows_what_is_in_the_folder(copy: Path) -> None:
    report = check(copy)
    assert "no " not in "".join(f for f in report.failures if "depth" in f or "normals" in f)
    for split in SPLITS:
        part = report.splits[split]
        assert part.frames == len(SceneDataset(copy, split))
        assert sum(part.share.values()) == pytest.approx(1)
        sheet = cv2.imread(str(copy / "report" / f"contact_{split}.jpg"))
        assert sheet is not None
    text = (copy / "report" / "report.txt").read_text()
    assert "field of view" in text


@pytest.mark.slow
def test_the_command_renders_checks_and_converts(
    furniture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "rooms"
    options = ["--size", "40x32", "--workers", "1", "--furniture", str(furniture)]
    assert main(["scenes", "-n", "1", "-o", str(root), *options, "--layout", "nyud"]) == 0
    names = (root / "NYUD_MT" / "gt_sets" / "train.txt").read_text().split()
    assert len(names) == len(SceneDataset(root, "train"))
    assert (root / "NYUD_MT" / "gt_sets" / "val.txt").read_text() == ""
    assert main(["scenes", "--check", str(root)]) == 1
    assert "FAILED: val: no complete scene" in capsys.readouterr().out


def test_a_data_set_of_somebody_else_is_not_written_into(tmp_path: Path) -> None:
    theirs = tmp_path / "NYUD_MT" / "gt_sets" / "train.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("0001\n")
    with pytest.raises(DataError, match="did not write"):
        prepare_rooms(tmp_path / "NYUD_MT")
    assert theirs.read_text() == "0001\n"
    for _ in range(2):  # a second run knows its own folder
        prepare_rooms(tmp_path / "ours")


def test_the_nyud_layout_brings_every_frame_back(tiny_rooms: Path, tmp_path: Path) -> None:
    count = write_rooms(tiny_rooms, tmp_path / "NYUD_MT")
    assert count == sum(len(SceneDataset(tiny_rooms, split)) for split in SPLITS)
    data = SceneDataset(tiny_rooms, "val")
    names = (tmp_path / "NYUD_MT" / "gt_sets" / "val.txt").read_text().split()
    assert len(names) == len(data)
    frame, name, root = data[0], names[0], tmp_path / "NYUD_MT"
    labels = cv2.imread(str(root / "segmentation" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    np.testing.assert_array_equal(
        labels.astype(int) - 1, np.where(frame.classes == VOID_ID, -1, frame.classes)
    )
    image = cv2.imread(str(root / "images" / f"{name}.jpg"))
    assert image is not None
    assert np.abs(image[..., ::-1].astype(int) - frame.rgb).mean() < 12
    np.testing.assert_array_equal(np.load(root / "depth" / f"{name}.npy"), frame.depth)
    assert np.load(root / "normals" / f"{name}.npy").dtype == np.float32
    np.testing.assert_array_equal(np.load(root / "edge" / f"{name}.npy"), outlines(frame.instance))
