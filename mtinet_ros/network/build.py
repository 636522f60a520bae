# SPDX-License-Identifier: Apache-2.0
"""The networks by the name that a configuration or a checkpoint gives them."""

from __future__ import annotations

from collections.abc import Mapping

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.network.ablations import AblatedMTINet
from mtinet_ros.network.baselines import MultiTaskBaseline, SingleTask
from mtinet_ros.network.mtinet import MTINet
from mtinet_ros.network.multi_task_network import MultiTaskNetwork
from mtinet_ros.network.pad_net import PADNet
from mtinet_ros.network.tasks import canonical_tasks

ARCHITECTURES = ("mti_net", "pad_net", "multi_task_baseline", "single_task")


def build_network(
    *,
    architecture: str = "mti_net",
    backbone: str = "hrnet_w18",
    tasks: Mapping[str, int],
    auxiliary_tasks: Mapping[str, int] | None = None,
    feature_propagation: bool = True,
    distillation: bool = True,
    multi_scale: bool = True,
) -> MultiTaskNetwork:
    """Build a network with fresh weights.

    Args:
        architecture: One of `ARCHITECTURES`.
        backbone: A name in `mtinet_ros.network.backbones.registry.BACKBONES`.
        tasks: Output channels by target task, in any order; one of single_task.
        auxiliary_tasks: Output channels by auxiliary task, which contain the target tasks; None:
            these. Only networks with initial predictions have others.
        feature_propagation: False leaves this part of MTI-Net out, see `AblatedMTINet`.
        distillation: The same.
        multi_scale: The same.

    Raises:
        ConfigurationError: Unknown architecture, backbone or task, impossible channels, or
            settings that do not fit together.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigurationError(
            f"the architecture {architecture!r} is unknown; choose one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    switches = {
        "feature_propagation": feature_propagation,
        "distillation": distillation,
        "multi_scale": multi_scale,
    }
    if architecture == "mti_net":
        if all(switches.values()):
            return MTINet(backbone, tasks, auxiliary_tasks)
        return AblatedMTINet(backbone, tasks, auxiliary_tasks, **switches)
    for name, on in switches.items():
        if not on:
            raise ConfigurationError(
                f"{name} is {on}, and the architecture is {architecture}; only mti_net has that "
                "to leave out"
            )
    if architecture == "pad_net":
        return PADNet(backbone, tasks, auxiliary_tasks)
    if auxiliary_tasks is not None and (
        canonical_tasks(auxiliary_tasks, "auxiliary_tasks") != canonical_tasks(tasks)
    ):
        raise ConfigurationError(
            f"auxiliary_tasks names {', '.join(auxiliary_tasks)}, and the architecture "
            f"{architecture} predicts its tasks alone ({', '.join(tasks)}); leave auxiliary_tasks "
            "out"
        )
    baseline = SingleTask if architecture == "single_task" else MultiTaskBaseline
    return baseline(backbone, tasks)
