# SPDX-License-Identifier: Apache-2.0
"""MTI-Net (Vandenhende et al., ECCV 2020, arXiv 2001.06902): the network of the paper's Figure 2.

Scales 0, 1, 2, 3 are strides 4, 8, 16, 32; the backbone has C_k channels at scale k. "Refined
features" are a task's features after the two residual blocks of its initial prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtinet_ros.network.blocks import BasicBlock, conv3x3, resize
from mtinet_ros.network.multi_task_network import MTINetOutput, MultiTaskNetwork, check_size

_SE_RATIO = 16


class MTINet(MultiTaskNetwork):
    """Multi-scale task interaction network; auxiliary tasks are predicted at every scale."""

    architecture = "mti_net"

    def __init__(
        self,
        backbone: str = "hrnet_w18",
        tasks: Mapping[str, int] | None = None,
        auxiliary_tasks: Mapping[str, int] | None = None,
    ) -> None:
        """Build with fresh weights.

        Args:
            backbone: A name in `mtinet_ros.network.backbones.registry.BACKBONES`.
            tasks: Output channels by target task, in any order; by default NYUD's semseg 40,
                normals 3, depth 1.
            auxiliary_tasks: Output channels by auxiliary task; must contain the target tasks, and
                by default equals them.

        Raises:
            ConfigurationError: Unknown backbone or task, impossible channels, or task sets that do
                not fit together.
        """
        if tasks is None:
            tasks = {"semseg": 40, "normals": 3, "depth": 1}
        super().__init__(backbone, tasks, auxiliary_tasks)
        targets, auxiliary = self.tasks, self.auxiliary_tasks
        c0, c1, c2, c3 = self.four_scales()

        self.scale_3 = InitialTaskPrediction(auxiliary, c3, c3)
        self.fpm_scale_3 = FeaturePropagation(list(auxiliary), c3)
        self.scale_2 = InitialTaskPrediction(auxiliary, c2 + c3, c2)
        self.fpm_scale_2 = FeaturePropagation(list(auxiliary), c2)
        self.scale_1 = InitialTaskPrediction(auxiliary, c1 + c2, c1)
        self.fpm_scale_1 = FeaturePropagation(list(auxiliary), c1)
        self.scale_0 = InitialTaskPrediction(auxiliary, c0 + c1, c0)

        self.distillation_scale_0 = MultiModalDistillation(list(targets), list(auxiliary), c0)
        self.distillation_scale_1 = MultiModalDistillation(list(targets), list(auxiliary), c1)
        self.distillation_scale_2 = MultiModalDistillation(list(targets), list(auxiliary), c2)
        self.distillation_scale_3 = MultiModalDistillation(list(targets), list(auxiliary), c3)

        self.heads = nn.ModuleDict(
            {t: AggregationHead(c0 + c1 + c2 + c3, channels) for t, channels in targets.items()}
        )

    def forward(self, image: Tensor) -> MTINetOutput:
        """Predict every task.

        Args:
            image: N×3×H×W float, RGB, normalised with ImageNet's mean and deviation; H and W are
                multiples of 32.

        Returns:
            Predictions of the target tasks and, for training, of the auxiliary tasks per scale.

        Raises:
            InputError: The image has another shape.
        """
        check_size(image)
        map_0, map_1, map_2, map_3 = self.backbone(image)

        # Coarse to fine: initial predictions, each helped by the coarser scale (Sec. 3.2, 3.4).
        refined_3, initial_3 = self.scale_3(per_task(map_3, self.auxiliary_tasks))
        propagated_3 = self.fpm_scale_3(refined_3)
        refined_2, initial_2 = self.scale_2(concatenate(map_2, propagated_3))
        propagated_2 = self.fpm_scale_2(refined_2)
        refined_1, initial_1 = self.scale_1(concatenate(map_1, propagated_2))
        propagated_1 = self.fpm_scale_1(refined_1)
        refined_0, initial_0 = self.scale_0(concatenate(map_0, propagated_1))

        # At every scale, tasks learn from one another (Sec. 3.3).
        distilled = [
            self.distillation_scale_0(refined_0),
            self.distillation_scale_1(refined_1),
            self.distillation_scale_2(refined_2),
            self.distillation_scale_3(refined_3),
        ]

        # All scales of a task together give its prediction (Sec. 3.5).
        predictions = {
            task: resize(head([features[task] for features in distilled]), 4)
            for task, head in self.heads.items()
        }
        return MTINetOutput(predictions, [initial_0, initial_1, initial_2, initial_3])


class InitialTaskPrediction(nn.Module):
    """Refine features for every task and predict it at one scale (Sec. 3.2)."""

    def __init__(self, tasks: Mapping[str, int], in_channels: int, channels: int) -> None:
        """Refine `in_channels` to `channels`, then predict `tasks[t]` channels per task."""
        super().__init__()
        self.refinement = nn.ModuleDict(
            {
                task: nn.Sequential(
                    BasicBlock(in_channels, channels), BasicBlock(channels, channels)
                )
                for task in tasks
            }
        )
        self.decoders = nn.ModuleDict(
            {task: nn.Conv2d(channels, outputs, 1) for task, outputs in tasks.items()}
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Per task N×in_channels×h×w in; refined features N×channels×h×w and predictions out."""
        refined = {task: block(inputs[task]) for task, block in self.refinement.items()}
        predictions = {task: decoder(refined[task]) for task, decoder in self.decoders.items()}
        return refined, predictions


class FeaturePropagation(nn.Module):
    """Feature propagation module: features of all tasks for the next finer scale (Sec. 3.4).

    The softmax weighs features before they are merged. It runs over a view of the concatenation as
    (C, tasks) although tasks are its outer axis, so that its groups are neighbouring channels of
    one task rather than one channel of all tasks. Trained weights rely on that.
    """

    def __init__(self, tasks: Sequence[str], channels: int) -> None:
        """`tasks` in canonical order, each with `channels` features."""
        super().__init__()
        self.tasks = tuple(tasks)
        total = len(tasks) * channels
        hidden = total // 4
        self.non_linear = nn.Sequential(
            BasicBlock(total, hidden), BasicBlock(hidden, hidden), nn.Conv2d(hidden, total, 1)
        )
        self.dimensionality_reduction = BasicBlock(total, channels)
        self.se = nn.ModuleDict({task: SqueezeExcitation(channels) for task in tasks})

    def forward(self, refined: dict[str, Tensor]) -> dict[str, Tensor]:
        """Per task N×C×h×w in; per task N×C×h×w out."""
        together = torch.cat([refined[task] for task in self.tasks], dim=1)
        grouped = (-1, len(self.tasks))
        attention = torch.unflatten(self.non_linear(together), 1, grouped).softmax(dim=2)
        weighted = (attention * torch.unflatten(together, 1, grouped)).flatten(1, 2)
        shared = self.dimensionality_reduction(weighted)
        return {task: self.se[task](shared) + refined[task] for task in self.tasks}


class SqueezeExcitation(nn.Module):
    """Gate channels by their global mean (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        """N×channels×h×w in and out."""
        super().__init__()
        hidden = max(channels // _SE_RATIO, 1)
        self.squeeze = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features scaled by one gate per channel."""
        gates: Tensor = self.squeeze(features.mean(dim=(2, 3)))
        return features * gates[:, :, None, None]


class MultiModalDistillation(nn.Module):
    """Add gated features of every other task to each target task (Sec. 3.3, Eq. 1)."""

    def __init__(self, targets: Sequence[str], auxiliary: Sequence[str], channels: int) -> None:
        """All tasks have `channels` features; `auxiliary` contains `targets`."""
        super().__init__()
        self.self_attention = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: SelfAttention(channels) for source in auxiliary if source != target}
                )
                for target in targets
            }
        )

    def forward(self, refined: dict[str, Tensor]) -> dict[str, Tensor]:
        """Per auxiliary task N×C×h×w in; per target task N×C×h×w out."""
        distilled = {}
        for target, sources in self.self_attention.items():
            assert isinstance(sources, nn.ModuleDict)
            features = refined[target]
            messages = [gate(refined[source]) for source, gate in sources.items()]
            distilled[target] = features + sum(messages) if messages else features
        return distilled


class SelfAttention(nn.Module):
    """A task's message to another one: convolved features times a spatial, per-channel gate."""

    def __init__(self, channels: int) -> None:
        """N×channels×h×w in and out; no bias, no normalisation."""
        super().__init__()
        self.conv = conv3x3(channels, channels)
        self.attention = nn.Sequential(conv3x3(channels, channels), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Gated features."""
        message: Tensor = self.conv(features) * self.attention(features)
        return message


class AggregationHead(nn.Module):
    """Bring a task's four scales to stride 4 and predict from all of them (Sec. 3.5)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """`in_channels` is the sum over the scales."""
        super().__init__()
        self.in_channels = in_channels
        self.last_layer = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 1),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1),
        )

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32, fine to coarse, in; N×out_channels×H/4×W/4 out."""
        together = torch.cat([resize(f, 2**k) for k, f in enumerate(scales)], dim=1)
        prediction: Tensor = self.last_layer(together)
        return prediction


def per_task(features: Tensor, tasks: Mapping[str, int]) -> dict[str, Tensor]:
    """The same features for every task."""
    return dict.fromkeys(tasks, features)


def concatenate(backbone_map: Tensor, propagated: dict[str, Tensor]) -> dict[str, Tensor]:
    """Backbone channels first, then the coarser scale's propagated ones."""
    return {
        task: torch.cat([backbone_map, resize(features, 2)], dim=1)
        for task, features in propagated.items()
    }
