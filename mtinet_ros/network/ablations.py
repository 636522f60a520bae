# SPDX-License-Identifier: Apache-2.0
"""MTI-Net with parts left out, to measure what each contributes; see `mtinet.py` for the whole."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtinet_ros.network.blocks import resize
from mtinet_ros.network.mtinet import (
    AggregationHead,
    FeaturePropagation,
    InitialTaskPrediction,
    MultiModalDistillation,
    concatenate,
    per_task,
)
from mtinet_ros.network.multi_task_network import MTINetOutput, MultiTaskNetwork, check_size


class AblatedMTINet(MultiTaskNetwork):
    """MTI-Net whose parts can be switched off; those that remain keep their weights' names.

    - Without feature propagation, the initial predictions at a scale are made from the backbone's
      map alone.
    - Without distillation, a task's head gets its own refined features.
    - Without multiple scales, initial predictions and distillation take place at stride 4 alone,
      on the backbone's four maps brought there and concatenated. Twice as many channels as the
      finest map has are refined from these.
    """

    architecture = "mti_net"

    def __init__(
        self,
        backbone: str,
        tasks: Mapping[str, int],
        auxiliary_tasks: Mapping[str, int] | None = None,
        *,
        feature_propagation: bool = True,
        distillation: bool = True,
        multi_scale: bool = True,
    ) -> None:
        """Build with fresh weights; for backbone, tasks and errors see `MTINet`.

        Args:
            backbone: Name of the backbone.
            tasks: Output channels by target task.
            auxiliary_tasks: Output channels by auxiliary task.
            feature_propagation: Whether coarser scales help finer ones; without multiple scales
                there is nothing to propagate.
            distillation: Whether tasks learn from one another.
            multi_scale: Whether tasks interact at four scales, or at one.
        """
        super().__init__(backbone, tasks, auxiliary_tasks)
        switches = {
            "feature_propagation": feature_propagation,
            "distillation": distillation,
            "multi_scale": multi_scale,
        }
        self.left_out = tuple(name for name, on in switches.items() if not on)
        targets, auxiliary = list(self.tasks), list(self.auxiliary_tasks)
        channels = self.four_scales()
        given = channels if multi_scale else (sum(channels),)
        refined = channels if multi_scale else (2 * channels[0],)
        self._scales = len(given)

        coarser = 0
        for k in reversed(range(self._scales)):
            name = f"scale_{k}"
            inputs = given[k] + coarser
            self.add_module(name, InitialTaskPrediction(self.auxiliary_tasks, inputs, refined[k]))
            if feature_propagation and k > 0:
                self.add_module(f"fpm_{name}", FeaturePropagation(auxiliary, refined[k]))
                coarser = refined[k]
            if distillation:
                self.add_module(
                    f"distillation_{name}", MultiModalDistillation(targets, auxiliary, refined[k])
                )
        self.heads = nn.ModuleDict(
            {t: AggregationHead(sum(refined), channels) for t, channels in self.tasks.items()}
        )

    def forward(self, image: Tensor) -> MTINetOutput:
        """See `MTINet.forward`; without multiple scales, there are initial predictions of one."""
        check_size(image)
        maps = self.backbone(image)
        if "multi_scale" in self.left_out:
            maps = (torch.cat([resize(features, 2**k) for k, features in enumerate(maps)], dim=1),)

        propagated: dict[str, Tensor] | None = None
        task_features: list[dict[str, Tensor]] = []
        initial: list[dict[str, Tensor]] = []
        for k in reversed(range(self._scales)):
            inputs = (
                per_task(maps[k], self.auxiliary_tasks)
                if propagated is None
                else concatenate(maps[k], propagated)
            )
            refined, predictions = self.get_submodule(f"scale_{k}")(inputs)
            if "feature_propagation" not in self.left_out and k > 0:
                propagated = self.get_submodule(f"fpm_scale_{k}")(refined)
            if "distillation" not in self.left_out:
                refined = self.get_submodule(f"distillation_scale_{k}")(refined)
            task_features.insert(0, refined)
            initial.insert(0, predictions)

        predictions = {
            task: resize(head([features[task] for features in task_features]), 4)
            for task, head in self.heads.items()
        }
        return MTINetOutput(predictions, initial)
