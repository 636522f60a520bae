# SPDX-License-Identifier: Apache-2.0
"""What a user of the network class relies on: sizes, shapes, task order and clear refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.model_contract import TASK_ORDER
from mtinet_ros.network import MTINet
from mtinet_ros.network.backbones.registry import BACKBONES
from mtinet_ros.network.mtinet import FeaturePropagation

NYUD = {"semseg": 40, "normals": 3, "edge": 1, "depth": 1}
THREE = {"semseg": 40, "normals": 3, "depth": 1}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(scope="module")
def small() -> MTINet:
    return MTINet(tasks=THREE).eval()


@pytest.mark.parametrize(
    ("backbone", "tasks", "auxiliary", "millions"),
    [
        ("hrnet_w18", {"semseg": 40, "depth": 1}, NYUD, 14.838121),
        ("hrnet_w18", THREE, None, 12.653616),
        ("hrnet_w48", THREE, None, 127.7),
    ],
)
def test_size_is_that_of_the_published_network(backbone, tasks, auxiliary, millions):
    with torch.device("meta"):
        network = MTINet(backbone, tasks, auxiliary)
    assert parameters(network) / 1e6 == pytest.approx(
        millions, abs=5e-7 if millions < 100 else 0.05
    )


@pytest.mark.parametrize(
    ("backbone", "tasks", "auxiliary", "gmac"),
    [
        ("hrnet_w18", {"semseg": 40, "depth": 1}, NYUD, 22.9),
        ("hrnet_w18", THREE, None, 22.2),
        ("hrnet_w48", THREE, None, 186.9),
    ],
)
def test_arithmetic_is_that_of_the_published_network(backbone, tasks, auxiliary, gmac):
    with torch.device("meta"):
        network = MTINet(backbone, tasks, auxiliary).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 480, 640))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.05)


def test_key_count_of_three_tasks():
    with torch.device("meta"):
        assert len(MTINet("hrnet_w18", THREE).state_dict()) == 1491


@pytest.mark.parametrize(
    ("backbone", "keys"),
    [("hrnet_w18", 864), ("hrnet_w48", 1830), ("resnet18", 120), ("resnet50", 318)],
)
def test_backbone_takes_the_public_imagenet_layouts(backbone, keys):
    with torch.device("meta"):
        assert len(BACKBONES[backbone]().state_dict()) == keys


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_gives_maps_of_its_strides(backbone):
    with torch.device("meta"):
        network = BACKBONES[backbone]().eval()
        maps = network(torch.zeros(2, 3, 64, 96))
    strides = (8,) if backbone.startswith("resnet") else (4, 8, 16, 32)
    assert network.strides == strides
    assert [tuple(m.shape) for m in maps] == [
        (2, c, 64 // s, 96 // s) for c, s in zip(network.channels, strides, strict=True)
    ]


def test_output_sizes(small):
    with torch.inference_mode():
        output = small(torch.zeros(2, 3, 64, 96))
    assert {t: tuple(y.shape) for t, y in output.predictions.items()} == {
        "semseg": (2, 40, 64, 96),
        "normals": (2, 3, 64, 96),
        "depth": (2, 1, 64, 96),
    }
    for k, predictions in enumerate(output.deep_supervision):
        size = (64 >> (k + 2), 96 >> (k + 2))
        assert {t: tuple(y.shape) for t, y in predictions.items()} == {
            t: (2, c, *size) for t, c in THREE.items()
        }


def test_order_of_a_configuration_does_not_change_the_network():
    everything = dict.fromkeys(reversed(TASK_ORDER), 2) | {"normals": 3, "depth": 1}
    with torch.device("meta"):
        network = MTINet(tasks=everything)
    assert tuple(network.tasks) == TASK_ORDER
    assert network.fpm_scale_1.tasks == TASK_ORDER


def test_a_single_task_works():
    with torch.device("meta"):
        output = MTINet(tasks={"depth": 1})(torch.zeros(2, 3, 64, 64))
    assert list(output.predictions) == ["depth"]


def test_softmax_of_feature_propagation_runs_over_neighboring_channels():
    """Channels 0 and 1 of one task share a softmax group when there are two tasks."""
    fpm = FeaturePropagation(["semseg", "depth"], 4).eval()
    fpm.non_linear = nn.Identity()
    seen: list[torch.Tensor] = []
    fpm.dimensionality_reduction.register_forward_pre_hook(
        lambda _m, inputs: seen.append(inputs[0])
    )
    features = torch.randn(1, 8, 1, 1)
    with torch.no_grad():
        fpm({"semseg": features[:, :4], "depth": features[:, 4:]})
    pairs = features.reshape(4, 2)
    expected = (pairs.softmax(dim=1) * pairs).reshape(1, 8, 1, 1)
    torch.testing.assert_close(seen[0], expected)


def test_batch_norm_momentum_differs_between_backbone_and_the_rest(small):
    momenta = {
        name.startswith("backbone."): set() for name, _ in small.named_modules() if "." in name
    }
    for name, module in small.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            momenta[name.startswith("backbone.")].add((module.momentum, module.eps))
    assert momenta == {True: {(0.01, 1e-5)}, False: {(0.1, 1e-5)}}


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"backbone": "resnet"}, "choose one of"),
        ({"backbone": "resnet50"}, "has one map, of stride 8, and the architecture mti_net needs"),
        ({"tasks": {}}, "empty"),
        ({"tasks": {"segmentation": 40}}, "'segmentation'"),
        ({"tasks": {"semseg": 0}}, "1 or more"),
        ({"tasks": {"semseg": "40"}}, "1 or more"),
        ({"tasks": {"semseg": True}}, "1 or more"),
        ({"tasks": {"depth": 2}}, "always has 1"),
        (
            {"tasks": {"depth": 1}, "auxiliary_tasks": {"semseg": 40}},
            "missing from auxiliary_tasks",
        ),
        ({"tasks": {"semseg": 40}, "auxiliary_tasks": {"semseg": 13}}, "give one number"),
    ],
)
def test_impossible_configurations_are_refused_with_a_sentence(arguments, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        MTINet(**arguments)


@pytest.mark.parametrize(
    ("shape", "fragment"),
    [((1, 3, 60, 64), "60×64"), ((1, 3, 64, 100), "multiples of 32"), ((1, 4, 64, 64), "N×3×H×W")],
)
def test_images_that_do_not_fit_are_refused_with_a_sentence(shape, fragment, small):
    with pytest.raises(InputError, match=fragment):
        small(torch.zeros(shape))
