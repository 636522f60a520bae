# SPDX-License-Identifier: Apache-2.0
"""A seed is a promise: the same bytes, whoever renders them, however often interrupted."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.scenes.assets.catalog import Catalog
from mtinet_ros.scenes.storage.dataset import SPLITS, SceneDataset
from mtinet_ros.scenes.storage.production import (
    RenderSettings,
    ScenePlan,
    plan_scenes,
    prepare_folder,
    render_scenes,
    write_scene,
)


def fingerprint(root: Path, names: list[str]) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name in names
    }


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(
    tiny_rooms: Path, tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    other = tmp_path / "again"
    todo = prepare_folder(other, 11, tiny_settings)
    render_scenes(other, reversed(todo), tiny_settings, workers=2)
    names = [plan.name for plan in todo]
    assert len(names) >= 3
    assert fingerprint(other, names) == fingerprint(tiny_rooms, names)


@pytest.mark.slow
def test_another_seed_gives_other_rooms(
    tiny_rooms: Path, tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    settings = replace(tiny_settings, seed=8)
    other = tmp_path / "other"
    render_scenes(other, prepare_folder(other, 2, settings), settings, workers=1)
    mine = np.load(tiny_rooms / "train" / "scene_00000" / "depth.npy")
    assert not np.array_equal(mine, np.load(other / "train" / "scene_00000" / "depth.npy"))


def test_a_larger_data_set_keeps_the_scenes_of_a_smaller_one(
    tiny_settings: RenderSettings,
) -> None:
    few, many = plan_scenes(40, tiny_settings), plan_scenes(400, tiny_settings)
    assert many[: len(few)] == few


def test_frames_are_spread_over_the_splits_with_videos_in_each(
    tiny_settings: RenderSettings,
) -> None:
    plans = plan_scenes(6000, replace(tiny_settings, stills=10, path=15))
    frames = {split: sum(p.stills + p.path for p in plans if p.split == split) for split in SPLITS}
    assert min(frames["val"], frames["test"]) >= 450
    for split in SPLITS:
        assert any(plan.path for plan in plans if plan.split == split)


def test_no_model_is_in_two_splits(furniture: Path) -> None:
    catalog = Catalog(furniture)
    owners: dict[str, set[str]] = {}
    for split in SPLITS:
        for models in catalog.split(split, 7).values():
            for model in models:
                owners.setdefault(model.key, set()).add(split)
    assert all(len(splits) == 1 for splits in owners.values())
    assert {"train", "val", "test"} == set.union(*owners.values())


@pytest.mark.slow
def test_a_continued_run_renders_only_what_is_missing_and_cleans_up(
    tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    root = tmp_path / "rooms"
    first = prepare_folder(root, 4, tiny_settings)
    render_scenes(root, first[:1], tiny_settings, workers=1)
    (root / "train" / ".scene_00001.part").mkdir()
    assert [plan.number for plan in prepare_folder(root, 4, tiny_settings)] == [
        plan.number for plan in first[1:]
    ]
    assert not list(root.glob("*/.*.part"))


def test_a_scene_that_another_worker_finished_is_left_alone(tmp_path: Path) -> None:
    plan = ScenePlan(1, "train", 1, 0)
    for value in (0, 1):
        write_scene(tmp_path, plan, {"depth": np.full(3, value)}, {"scene": plan.name})
    assert np.load(tmp_path / "train" / plan.name / "depth.npy").sum() == 0
    assert not list(tmp_path.glob("*/.*"))


@pytest.mark.slow
def test_frames_can_be_read_while_others_are_rendered(
    tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    root = tmp_path / "rooms"
    todo = prepare_folder(root, 400, tiny_settings)
    render_scenes(root, todo[:1], tiny_settings, workers=1)
    (root / "train" / ".scene_00001.part").mkdir()
    assert len(SceneDataset(root, "train")) == todo[0].stills + todo[0].path


@pytest.mark.slow
def test_ctrl_c_ends_the_command_quickly_and_leaves_no_half_scene(
    furniture: Path, tmp_path: Path
) -> None:
    root = tmp_path / "rooms"
    command = [sys.executable, "-m", "mtinet_ros.cli.main", "scenes", "-n", "500", "-o", str(root)]
    options = ["--size", "64x48", "--workers", "2", "--furniture", str(furniture)]
    process = subprocess.Popen(
        command + options, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(root.glob("*/scene_*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: everyone gets it
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "interrupted" in errors
    for folder in root.glob("*/scene_*"):
        assert (folder / "scene.json").exists()
