# SPDX-License-Identifier: Apache-2.0
"""A run starts from the weights that its configuration names, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mtinet_ros.errors import ConfigurationError, ModelError, MtinetError
from mtinet_ros.network import build_network, save_checkpoint
from mtinet_ros.network.backbones.registry import BACKBONES
from mtinet_ros.training.config import NetworkConfig
from mtinet_ros.training.initial_weights import initial_network

DEPTH = {"depth": 1}


def config(**settings) -> NetworkConfig:
    return NetworkConfig(
        **{"architecture": "single_task", "backbone": "resnet18", "tasks": DEPTH} | settings
    )


@pytest.fixture(scope="module")
def public() -> dict[str, Tensor]:
    """As torchvision's file is: names without prefix, and a classifier besides."""
    state = BACKBONES["resnet18"]().state_dict()
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def files(public, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_file(public, folder / "resnet18.safetensors")
    old = {k: v for k, v in public.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, folder / "resnet18-5c106cde.pth")
    save_checkpoint(folder / "lite.safetensors", build_network(backbone="efficientnet_lite0",
                    architecture="multi_task_baseline", tasks={"semseg": 5, **DEPTH}))  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["resnet18.safetensors", "resnet18-5c106cde.pth"])
def test_public_imagenet_weights_become_the_backbone(name, files, public):
    network = initial_network(config(backbone_weights=str(files / name)))
    own = network.backbone.state_dict()
    assert len(own) == len(public) - 2
    for key, value in own.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, public[key]), key


def test_imagenet_weights_of_another_backbone_are_refused_with_what_is_different(files):
    weights = str(files / "resnet18.safetensors")
    with pytest.raises(ModelError) as refusal:
        initial_network(config(backbone="resnet50", backbone_weights=weights))
    message = str(refusal.value)
    assert (
        "resnet18.safetensors does not fit the network; missing: layer1.0.conv3.weight" in message
    )
    assert "of another shape: layer1.0.conv1.weight (64, 64, 3, 3) instead of (64, 64, 1, 1)" in (
        message
    )
    assert "torchvision's files" in message
    assert len(message) < 3000


@pytest.mark.parametrize(
    ("settings", "fragment"),
    [
        ({}, "set backbone_weights to a file, torchvision's files"),
        ({"backbone_weights": "no.pth"}, "cannot read no.pth"),
        ({"initial": "random", "backbone_weights": "x.pth"}, "set initial to imagenet"),
        ({"initial": "lite.safetensors"}, "holds a network with architecture multi_task_baseline"),
        (
            {
                "initial": "lite.safetensors",
                "architecture": "multi_task_baseline",
                "backbone": "efficientnet_lite0",
            },
            "tasks {'semseg': 5, 'depth': 1}",
        ),
        ({"architecture": "mti_net"}, "has one map, of stride 8"),
        ({"tasks": {}}, "tasks is empty"),
        ({"tasks": {"depth": 1, "edge": 1}}, "name one, or take multi_task_baseline"),
    ],
)
def test_an_impossible_start_is_a_sentence(settings, fragment, files, monkeypatch):
    monkeypatch.chdir(files)
    with pytest.raises(MtinetError) as refusal:
        initial_network(config(**settings))
    assert isinstance(refusal.value, (ConfigurationError, ModelError))
    assert fragment in str(refusal.value)
    assert "\n" not in str(refusal.value)
