# SPDX-License-Identifier: Apache-2.0
"""The networks that the paper compares: their size, what they answer, and how files name them."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.network import (
    MTINet,
    MultiTaskNetwork,
    build_network,
    load_checkpoint,
    save_checkpoint,
)
from mtinet_ros.network.ablations import AblatedMTINet
from mtinet_ros.network.architecture import recognize

LITE = "efficientnet_lite0"
TASKS = {"semseg": 5, "depth": 1}
NETWORKS = [
    {"architecture": "mti_net", "auxiliary_tasks": {**TASKS, "edge": 1}},
    {"architecture": "mti_net", "feature_propagation": False},
    {"architecture": "mti_net", "distillation": False},
    {"architecture": "mti_net", "multi_scale": False},
    {"architecture": "mti_net", "multi_scale": False, "distillation": False},
    {"architecture": "pad_net", "auxiliary_tasks": {**TASKS, "edge": 1}},
    {"architecture": "multi_task_baseline"},
    {"architecture": "single_task", "tasks": {"semseg": 9}},
    {"architecture": "multi_task_baseline", "backbone": "resnet18"},
    {"architecture": "single_task", "backbone": "resnet18", "tasks": {"semseg": 9}},
]


def built(arguments: dict) -> MultiTaskNetwork:
    return build_network(**{"backbone": LITE, "tasks": TASKS} | arguments)


def name_of(arguments: dict) -> str:
    off = [name for name, value in arguments.items() if value is False]
    name = "_without_".join([arguments["architecture"], *off])
    return f"{name}_{arguments['backbone']}" if "backbone" in arguments else name


# Measured on the authors' networks: data set, backbone, architecture, tasks; NYUD at 480×640,
# PASCAL at 512×512.
@pytest.mark.parametrize(
    ("experiment", "parameters", "gmac"),
    [
        ("nyud hrnet_w18 mti_net semseg,depth +normals,edge", 14_838_121, 22.88),
        ("nyud hrnet_w18 mti_net semseg,depth", 8_578_179, 17.14),
        ("nyud hrnet_w18 pad_net semseg,depth +normals,edge", 12_161_332, 168.9),
        ("nyud hrnet_w18 pad_net semseg,depth", 7_019_056, 70.25),
        ("nyud hrnet_w18 multi_task_baseline semseg,depth", 4_019_251, 12.77),
        ("nyud hrnet_w18 single_task semseg", 3_945_270, 11.37),
        ("nyud hrnet_w18 single_task depth", 3_934_701, 11.17),
        ("pascal hrnet_w18 mti_net semseg,human_parts,sal,normals,edge", 24_494_171, 30.31),
        ("pascal hrnet_w18 mti_net semseg,human_parts,sal", 12_645_441, 18.9),
        ("pascal hrnet_w18 pad_net semseg,human_parts,sal,normals,edge", 29_304_992, 424.9),
        ("pascal hrnet_w18 pad_net semseg,human_parts,sal", 12_083_608, 142.86),
        (
            "pascal hrnet_w18 multi_task_baseline semseg,human_parts,sal,normals,edge",
            4_238_213,
            14.45,
        ),
        ("pascal hrnet_w18 multi_task_baseline semseg,human_parts,sal", 4_089_709, 12.04),
        ("pascal hrnet_w18 single_task semseg", 3_940_121, 9.62),
        ("pascal hrnet_w18 single_task human_parts", 3_936_327, 9.55),
        ("pascal hrnet_w18 single_task sal", 3_934_701, 9.53),
        ("pascal hrnet_w18 single_task normals", 3_935_243, 9.54),
        ("pascal hrnet_w18 single_task edge", 3_934_701, 9.53),
        ("nyud resnet50 single_task semseg", 39_643_752, 191.72),
        ("nyud resnet50 single_task depth", 39_633_729, 191.67),
        ("nyud resnet50 multi_task_baseline semseg,depth", 55_769_449, 266.59),
        ("pascal resnet18 single_task semseg", 15_904_085, 66.94),
        ("pascal resnet18 single_task human_parts", 15_900_487, 66.93),
        ("pascal resnet18 single_task sal", 15_898_945, 66.92),
        ("pascal resnet18 single_task normals", 15_899_459, 66.92),
        ("pascal resnet18 single_task edge", 15_898_945, 66.92),
        (
            "pascal resnet18 multi_task_baseline semseg,human_parts,sal,normals,edge",
            34_795_873,
            142.12,
        ),
    ],
)
def test_an_experiment_has_the_size_and_the_arithmetic_of_the_authors(
    experiment, parameters, gmac
):
    data, backbone, architecture, tasks, *auxiliary = experiment.split()
    channels = {"human_parts": 7, "sal": 1, "normals": 3, "edge": 1, "depth": 1}
    channels["semseg"], size = {"nyud": (40, (480, 640)), "pascal": (21, (512, 512))}[data]
    names = tasks.split(",")
    more = auxiliary[0].removeprefix("+").split(",") if auxiliary else []
    with torch.device("meta"):
        network = build_network(
            architecture=architecture,
            backbone=backbone,
            tasks={task: channels[task] for task in names},
            auxiliary_tasks={task: channels[task] for task in [*names, *more]},
        ).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, *size))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.0051)


@pytest.mark.parametrize("arguments", NETWORKS, ids=name_of)
def test_predictions_have_the_size_of_the_image_and_initial_ones_that_of_their_scale(arguments):
    with torch.device("meta"):
        network = built(arguments).eval()
        output = network(torch.zeros(2, 3, 64, 96))
    assert {task: tuple(y.shape) for task, y in output.predictions.items()} == {
        task: (2, channels, 64, 96) for task, channels in network.tasks.items()
    }
    scales = 4 if arguments["architecture"] == "mti_net" and "multi_scale" not in arguments else 1
    if "auxiliary_tasks" not in arguments and arguments["architecture"] != "mti_net":
        scales = 0
    assert [{t: tuple(y.shape) for t, y in s.items()} for s in output.deep_supervision] == [
        {t: (2, c, 16 >> k, 24 >> k) for t, c in network.auxiliary_tasks.items()}
        for k in range(scales)
    ]


def test_with_nothing_left_out_the_ablated_network_is_mti_net():
    auxiliary = {**TASKS, "normals": 3}
    whole = MTINet(LITE, TASKS, auxiliary).eval()
    ablated = AblatedMTINet(LITE, TASKS, auxiliary).eval()
    ablated.load_state_dict(whole.state_dict())
    image = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        a, b = whole(image), ablated(image)
    for one, other in zip(
        [a.predictions, *a.deep_supervision], [b.predictions, *b.deep_supervision], strict=True
    ):
        for task, values in one.items():
            torch.testing.assert_close(values, other[task], rtol=0, atol=0)


def influence(network: nn.Module, source: str, target: str) -> bool:
    """Whether weights below `source` have a gradient from the final prediction of `target`."""
    network.eval().zero_grad()
    network(torch.randn(1, 3, 32, 32)).predictions[target].sum().backward()
    return any(
        p.grad is not None and bool(p.grad.any())
        for name, p in network.named_parameters()
        if re.match(source, name)
    )


def test_what_is_left_out_carries_nothing_from_task_to_task():
    """With neither propagation nor distillation, depth knows nothing of semseg's features."""
    semseg = r"scale_\d\.refinement\.semseg"
    apart = built({"feature_propagation": False, "distillation": False})
    assert not influence(apart, semseg, "depth")
    assert influence(apart, r"scale_3\.refinement\.depth", "depth")
    assert influence(built({"multi_scale": False}), semseg, "depth")


@pytest.mark.parametrize("arguments", NETWORKS, ids=name_of)
def test_a_checkpoint_brings_any_network_back_with_and_without_its_header(arguments, tmp_path):
    network = built(arguments).eval()
    save_checkpoint(tmp_path / "a.safetensors", network)
    state = network.state_dict()
    save_file({f"module.{k}": v for k, v in state.items()}, tmp_path / "b.safetensors")
    for path in sorted(tmp_path.iterdir()):
        again = load_checkpoint(path)
        assert again.description() == network.description()
        assert type(again) is type(network)
        assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())


@pytest.mark.parametrize(
    ("channels", "task"), [(3, "normals"), (7, "human_parts"), (21, "semseg")]
)
def test_the_task_of_the_authors_single_task_files_is_told_from_its_channels(channels, task):
    with torch.device("meta"):
        state = build_network(architecture="single_task", tasks={task: channels}).state_dict()
        assert recognize(state, "x").tasks == {task: channels}


def test_a_single_task_of_one_channel_is_not_guessed():
    with torch.device("meta"):
        state = build_network(architecture="single_task", tasks={"edge": 1}).state_dict()
    with pytest.raises(ModelError, match="may be depth, edge or sal"):
        recognize(state, "x")


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"architecture": "mtan"}, "'mtan' is unknown; choose one of mti_net, "),
        ({"architecture": "single_task"}, "semseg, depth; name one"),
        ({"architecture": "pad_net", "distillation": False}, "only mti_net"),
        ({"architecture": "multi_task_baseline", "auxiliary_tasks": {"edge": 1}}, "leave auxil"),
    ],
)
def test_impossible_networks_are_refused_with_a_sentence(arguments, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        built(arguments)
