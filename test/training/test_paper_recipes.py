# SPDX-License-Identifier: Apache-2.0
"""The recipes of the paper's experiments say what the authors' configurations say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mtinet_ros.network.build import build_network
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.config_file import load_config

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "config" / "train" / "paper"
REFERENCE = ROOT.parent / "shared" / "reference" / "paper" / "experiments.json"

CHANNELS = {
    "nyud": {"semseg": 40, "depth": 1, "normals": 3, "edge": 1},
    "pascal": {"semseg": 21, "human_parts": 7, "sal": 1, "normals": 3, "edge": 1},
}
TWO, FOUR = "semseg depth", "semseg normals edge depth"
THREE, FIVE = "semseg human_parts sal", "semseg human_parts sal normals edge"
WEIGHTS = {
    "nyud": {"semseg": 1, "depth": 1, "normals": 10, "edge": 50},
    "pascal": {"semseg": 1, "human_parts": 2, "sal": 5, "normals": 10, "edge": 50},
}
# The authors' file, without .yml -> what it says: optimizer, rate, epochs, batch, tasks, auxiliary
# tasks, and the parameters of the network it builds.
AUTHORS = {
    "nyud/hrnet18/semseg": ("adam", 1e-4, 100, 8, "semseg", "", 3945270),
    "nyud/hrnet18/depth": ("adam", 1e-4, 100, 8, "depth", "", 3934701),
    "nyud/hrnet18/multi_task_baseline": ("adam", 1e-4, 100, 8, TWO, "", 4019251),
    "nyud/hrnet18/pad_net": ("adam", 1e-4, 100, 8, TWO, TWO, 7019056),
    "nyud/hrnet18/pad_net+edges_normals": ("adam", 1e-4, 100, 8, TWO, FOUR, 12161332),
    "nyud/hrnet18/mti_net": ("adam", 1e-4, 100, 8, TWO, TWO, 8578179),
    "nyud/hrnet18/mti_net+edges_normals": ("adam", 1e-4, 100, 8, TWO, FOUR, 14838121),
    "nyud/resnet50/semseg": ("adam", 1e-4, 100, 8, "semseg", "", 39643752),
    "nyud/resnet50/depth": ("adam", 1e-4, 100, 8, "depth", "", 39633729),
    "nyud/resnet50/multi_task_baseline": ("adam", 1e-4, 100, 8, TWO, "", 55769449),
    "pascal/hrnet18/semseg": ("sgd", 1e-2, 60, 8, "semseg", "", 3940121),
    "pascal/hrnet18/human_parts": ("sgd", 1e-2, 60, 8, "human_parts", "", 3936327),
    "pascal/hrnet18/sal": ("sgd", 1e-2, 60, 8, "sal", "", 3934701),
    "pascal/hrnet18/normals": ("sgd", 1e-2, 60, 8, "normals", "", 3935243),
    "pascal/hrnet18/edge": ("sgd", 1e-2, 60, 8, "edge", "", 3934701),
    "pascal/hrnet18/multi_task_baseline": ("adam", 1e-4, 100, 8, FIVE, "", 4238213),
    "pascal/hrnet18/multi_task_baseline_small": ("adam", 1e-4, 80, 8, THREE, "", 4089709),
    "pascal/hrnet18/pad_net": ("adam", 1e-4, 100, 8, FIVE, FIVE, 29304992),
    "pascal/hrnet18/pad_net_small": ("adam", 1e-4, 80, 8, THREE, THREE, 12083608),
    "pascal/hrnet18/mti_net": ("adam", 1e-4, 100, 8, FIVE, FIVE, 24494171),
    "pascal/hrnet18/mti_net_small": ("adam", 1e-4, 80, 8, THREE, THREE, 12645441),
    "pascal/resnet18/semseg": ("adam", 1e-4, 60, 12, "semseg", "", 15904085),
    "pascal/resnet18/human_parts": ("adam", 1e-4, 60, 12, "human_parts", "", 15900487),
    "pascal/resnet18/sal": ("adam", 1e-4, 60, 12, "sal", "", 15898945),
    "pascal/resnet18/normals": ("adam", 1e-4, 60, 12, "normals", "", 15899459),
    "pascal/resnet18/edge": ("adam", 1e-4, 60, 12, "edge", "", 15898945),
    "pascal/resnet18/multi_task_baseline": ("adam", 1e-4, 100, 6, FIVE, "", 34795873),
}
NOT_COVERED = {"cross_stitch", "nddr_cnn", "mtan"}
OURS = {"nyud/hrnet48/mti_net_edges_normals", "urbanlf/hrnet48/mti_net_syn"}
"""Recipes for which the authors published no configuration."""

RECIPES = {str(path.relative_to(PAPER).with_suffix("")) for path in PAPER.glob("*/*/*.yaml")}


def recipe(name: str) -> TrainConfig:
    return load_config(PAPER / f"{name.replace('+', '_')}.yaml")


def test_there_is_a_recipe_for_every_experiment_and_no_other():
    assert {name.replace("+", "_") for name in AUTHORS} | OURS == RECIPES


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the list of configurations is not there")
def test_the_table_here_is_the_authors():
    theirs = {
        entry["config"].removesuffix(".yml"): entry
        for entry in json.loads(REFERENCE.read_text())
        if Path(entry["config"]).stem not in NOT_COVERED
    }
    assert theirs.keys() == AUTHORS.keys()
    for name, entry in theirs.items():
        keys = ("optimiser", "lr", "epochs", "batch")
        said = (*(entry[k] for k in keys), " ".join(entry["tasks"]), " ".join(entry["aux"]))
        assert (*said, entry["parameters"]) == AUTHORS[name], name
        assert entry["weight_decay"] == 1e-4
        assert entry.get("momentum", 0.9) == 0.9
        data = name.partition("/")[0]
        tasks = entry["aux"] or entry["tasks"]
        single = len(entry["tasks"]) == 1
        assert entry["weights"] == ({} if single else {t: WEIGHTS[data][t] for t in tasks})


@pytest.mark.parametrize("name", AUTHORS)
def test_a_recipe_trains_as_the_authors_do(name):
    kind, rate, epochs, batch, tasks, auxiliary, _ = AUTHORS[name]
    data = name.partition("/")[0]
    config = recipe(name)
    optimizer, network = config.optimizer, config.network
    assert (optimizer.kind, optimizer.learning_rate, optimizer.max_epochs) == (kind, rate, epochs)
    assert (optimizer.weight_decay, optimizer.momentum) == (1e-4, 0.9)
    assert (optimizer.backbone_factor, optimizer.warmup_steps, optimizer.frozen) == (1, 0, ())
    assert (optimizer.decay_by, optimizer.decay_power) == ("epoch", 0.9)
    assert (optimizer.clip, optimizer.average) == (0, 0)
    assert (config.data.batch_size, config.data.kind, config.data.sources) == (batch, data, {})
    size = {"nyud": (480, 640), "pascal": (512, 512)}[data]
    assert (config.data.height, config.data.width) == size
    assert network.tasks == {task: CHANNELS[data][task] for task in tasks.split()}
    assert network.auxiliary_tasks in ({}, {t: CHANNELS[data][t] for t in auxiliary.split()})
    single = len(network.tasks) == 1
    for task in (auxiliary or tasks).split():
        ((_, weight),) = config.losses.terms[task].items()
        assert weight == (1 if single else WEIGHTS[data][task])
    losses = config.losses
    assert (losses.class_balance, losses.deep_supervision) == (0, 1)
    assert losses.deep_supervision_stride == 1
    assert (network.depth_output, config.run.precision) == ("metres", "32-true")
    augmentation = config.augmentation
    assert (augmentation.kind, augmentation.flip) == (data, 0.5)
    if data == "nyud":
        assert augmentation.zooms == (1, 1.2, 1.5)
    else:
        assert (augmentation.rotation, augmentation.scale) == (20, (0.75, 1.25))


def test_losses_are_those_of_the_authors():
    terms = {
        **recipe("nyud/hrnet18/mti_net").losses.terms,
        **recipe("pascal/hrnet18/mti_net").losses.terms,
    }
    assert {task: list(losses) for task, losses in terms.items()} == {
        "semseg": ["cross_entropy"],
        "human_parts": ["cross_entropy"],
        "sal": ["saliency_bce"],
        "edge": ["balanced_bce"],
        "normals": ["normals_l1"],
        "depth": ["l1"],
    }
    for name in AUTHORS:
        assert all(len(losses) == 1 for losses in recipe(name).losses.terms.values()), name


@pytest.mark.parametrize("name", AUTHORS)
def test_a_recipe_builds_the_network_of_the_authors(name):
    network = recipe(name).network
    with torch.device("meta"):
        built = build_network(
            architecture=network.architecture,
            backbone=network.backbone,
            tasks=network.tasks,
            auxiliary_tasks=network.auxiliary_tasks or None,
        )
    assert sum(parameter.numel() for parameter in built.parameters()) == AUTHORS[name][-1]


def test_no_two_recipes_train_into_one_folder_or_have_one_name():
    configs = [load_config(PAPER / f"{name}.yaml") for name in sorted(RECIPES)]
    assert len({config.run.output for config in configs}) == len(configs)
    assert len({config.card.name for config in configs}) == len(configs)


@pytest.mark.parametrize("name", sorted(OURS))
def test_recipes_of_our_own_follow_the_papers(name):
    config = load_config(PAPER / f"{name}.yaml")
    like = recipe("nyud/hrnet18/mti_net+edges_normals")
    assert config.network.backbone == "hrnet_w48"
    epochs = {"nyud": 100, "urbanlf": 400}[name.partition("/")[0]]
    assert config.optimizer.max_epochs == epochs
    assert (config.data.batch_size, config.optimizer.learning_rate) == (8, 1e-4)
    assert config.augmentation == like.augmentation
