# SPDX-License-Identifier: Apache-2.0
"""The table of reported figures agrees with itself, and with the recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtinet_ros.training.config_file import load_config
from mtinet_ros.training.reproduction import EXPERIMENTS, FIGURES
from mtinet_ros.training.reproduction_report import multi_task_gain

PAPER = Path(__file__).resolve().parents[2] / "config" / "train" / "paper"


def test_every_recipe_is_an_experiment_and_trains_its_tasks():
    recipes = {str(path.relative_to(PAPER).with_suffix("")) for path in PAPER.glob("*/*/*.yaml")}
    assert {one.recipe for one in EXPERIMENTS.values()} == recipes
    for name, one in EXPERIMENTS.items():
        config = load_config(PAPER / f"{one.recipe}.yaml")
        assert set(config.network.tasks) == set(one.tasks), name
        assert Path(config.run.output).name == name
        assert config.data.kind == one.kind


@pytest.mark.parametrize("name", [n for n, one in EXPERIMENTS.items() if one.delta_m is not None])
def test_reported_gains_follow_from_reported_figures(name):
    """So no figure is in the wrong row; they were printed with few digits."""
    one = EXPERIMENTS[name]
    printed = {FIGURES[task].key: value for task, value in one.reported.items()}
    singles = {
        task: {FIGURES[task].key: EXPERIMENTS[single].reported[task]}
        for task, single in one.singles.items()
    }
    assert multi_task_gain(printed, singles) == pytest.approx(one.delta_m, abs=0.15)


def test_a_gain_needs_every_figure():
    single = {"semseg": {"semseg_miou": 0.5}, "depth": {"depth_rmse_per_image": 0.8}}
    assert multi_task_gain({"semseg_miou": 0.55}, single) is None
    assert multi_task_gain({"semseg_miou": 0.55, "depth_rmse_per_image": 1.0}, {}) is None
    # 0.55 is 10 % more, 1.0 is 25 % worse.
    figures = {"semseg_miou": 0.55, "depth_rmse_per_image": 1.0}
    assert multi_task_gain(figures, single) == pytest.approx((10 - 25) / 2)
