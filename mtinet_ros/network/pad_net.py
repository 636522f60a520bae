# SPDX-License-Identifier: Apache-2.0
"""PAD-Net (Xu et al., CVPR 2018, arXiv 1805.04409) on a backbone of four scales.

It is what MTI-Net is compared with: tasks interact at one scale. As in the experiments of
MTI-Net's authors, that scale is stride 4, and features of 256 channels are made by bottlenecks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtinet_ros.network.blocks import Bottleneck, resize
from mtinet_ros.network.mtinet import MultiModalDistillation, per_task
from mtinet_ros.network.multi_task_network import MTINetOutput, MultiTaskNetwork, check_size

CHANNELS = 256


class PADNet(MultiTaskNetwork):
    """Initial predictions of all auxiliary tasks, distilled into the target tasks' predictions."""

    architecture = "pad_net"

    def __init__(
        self,
        backbone: str,
        tasks: Mapping[str, int],
        auxiliary_tasks: Mapping[str, int] | None = None,
    ) -> None:
        """Build with fresh weights; for arguments and errors see `MTINet`."""
        super().__init__(backbone, tasks, auxiliary_tasks)
        targets, auxiliary = self.tasks, self.auxiliary_tasks
        total = sum(self.four_scales())

        self.aggregation = Aggregation(total)
        self.scale_0 = BottleneckPrediction(auxiliary, total)
        self.distillation_scale_0 = MultiModalDistillation(
            list(targets), list(auxiliary), CHANNELS
        )
        self.heads = nn.ModuleDict(
            {
                task: nn.Sequential(
                    *_bottlenecks(CHANNELS), nn.Conv2d(CHANNELS, channels, kernel_size=1)
                )
                for task, channels in targets.items()
            }
        )

    def forward(self, image: Tensor) -> MTINetOutput:
        """See `MultiTaskNetwork.forward`; the initial predictions are of stride 4 alone."""
        check_size(image)
        features = self.aggregation(self.backbone(image))
        refined, initial = self.scale_0(per_task(features, self.auxiliary_tasks))
        distilled = self.distillation_scale_0(refined)
        predictions = {task: resize(head(distilled[task]), 4) for task, head in self.heads.items()}
        return MTINetOutput(predictions, [initial])


class Aggregation(nn.Module):
    """The four maps of a backbone brought to stride 4, concatenated and mixed."""

    def __init__(self, channels: int) -> None:
        """`channels` is the sum over the scales."""
        super().__init__()
        self.mixing = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps at strides 4, 8, 16, 32, fine to coarse, in; N×channels×H/4×W/4 out."""
        together = torch.cat([resize(f, 2**k) for k, f in enumerate(maps)], dim=1)
        mixed: Tensor = self.mixing(together)
        return mixed


class BottleneckPrediction(nn.Module):
    """Refine features for every task and predict it, see `mtinet.InitialTaskPrediction`."""

    def __init__(self, tasks: Mapping[str, int], in_channels: int) -> None:
        """Refine `in_channels` to `CHANNELS`, then predict `tasks[t]` channels per task."""
        super().__init__()
        self.refinement = nn.ModuleDict(
            {task: nn.Sequential(*_bottlenecks(in_channels)) for task in tasks}
        )
        self.decoders = nn.ModuleDict(
            {task: nn.Conv2d(CHANNELS, outputs, 1) for task, outputs in tasks.items()}
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Per task N×in_channels×h×w in; refined features N×256×h×w and predictions out."""
        refined = {task: block(inputs[task]) for task, block in self.refinement.items()}
        predictions = {task: decoder(refined[task]) for task, decoder in self.decoders.items()}
        return refined, predictions


def _bottlenecks(in_channels: int) -> tuple[Bottleneck, Bottleneck]:
    width = CHANNELS // Bottleneck.expansion
    return Bottleneck(in_channels, width), Bottleneck(CHANNELS, width)
