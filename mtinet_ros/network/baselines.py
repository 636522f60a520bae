# SPDX-License-Identifier: Apache-2.0
"""The networks that multi-task learning is compared with: one task alone, and a shared backbone.

Names of weights are those of MTI-Net's authors: `decoder.*` of the one task, `decoders.<task>.*`
of several. A backbone with four maps gets the head of MTI-Net, one with a single map DeepLabV3's.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.network.backbones.base import Backbone
from mtinet_ros.network.blocks import resize
from mtinet_ros.network.deeplab import DeepLabHead
from mtinet_ros.network.mtinet import AggregationHead
from mtinet_ros.network.multi_task_network import MTINetOutput, MultiTaskNetwork, check_size


class SingleTask(MultiTaskNetwork):
    """A backbone and the head of one task."""

    architecture = "single_task"

    def __init__(self, backbone: str, tasks: Mapping[str, int]) -> None:
        """Build with fresh weights.

        Args:
            backbone: Name of the backbone.
            tasks: The task with its output channels.

        Raises:
            ConfigurationError: Unknown backbone or task, impossible channels, or several tasks.
        """
        super().__init__(backbone, tasks)
        if len(self.tasks) != 1:
            raise ConfigurationError(
                f"the architecture single_task is given the tasks {', '.join(self.tasks)}; name "
                "one, or take multi_task_baseline"
            )
        (outputs,) = self.tasks.values()
        self.decoder = _head(self.backbone, outputs)

    def forward(self, image: Tensor) -> MTINetOutput:
        """See `MultiTaskNetwork.forward`; there are no initial predictions."""
        check_size(image)
        (task,) = self.tasks
        prediction = resize(self.decoder(self.backbone(image)), self.backbone.strides[0])
        return MTINetOutput({task: prediction}, [])


class MultiTaskBaseline(MultiTaskNetwork):
    """A backbone that all tasks share, and a head for each."""

    architecture = "multi_task_baseline"

    def __init__(self, backbone: str, tasks: Mapping[str, int]) -> None:
        """Build with fresh weights.

        Args:
            backbone: Name of the backbone.
            tasks: Output channels by task.

        Raises:
            ConfigurationError: Unknown backbone or task, or impossible channels.
        """
        super().__init__(backbone, tasks)
        self.decoders = nn.ModuleDict(
            {task: _head(self.backbone, outputs) for task, outputs in self.tasks.items()}
        )

    def forward(self, image: Tensor) -> MTINetOutput:
        """See `MultiTaskNetwork.forward`; there are no initial predictions."""
        check_size(image)
        maps = self.backbone(image)
        factor = self.backbone.strides[0]
        predictions = {task: resize(head(maps), factor) for task, head in self.decoders.items()}
        return MTINetOutput(predictions, [])


def _head(backbone: Backbone, outputs: int) -> AggregationHead | DeepLabHead:
    """The head that the authors put on such a backbone."""
    if len(backbone.channels) == 1:
        return DeepLabHead(backbone.channels[0], outputs)
    return AggregationHead(sum(backbone.channels), outputs)
