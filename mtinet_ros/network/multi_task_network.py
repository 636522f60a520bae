# SPDX-License-Identifier: Apache-2.0
"""What all networks here have in common: a backbone, tasks, and the form of what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.model_contract import SIZE_MULTIPLE
from mtinet_ros.network.backbones.registry import build_backbone
from mtinet_ros.network.tasks import canonical_task_sets


@dataclass
class MTINetOutput:
    """Result of one forward pass.

    Attributes:
        predictions: Raw output of every target task, N×channels×H×W at the size of the image
            (logits, normals not yet of unit length, depth as trained).
        deep_supervision: Per scale, finest first, the initial prediction of every auxiliary task,
            N×channels×H/s×W/s with s = 4, 8, 16, 32. Training supervises them (Sec. 3.2).
            PAD-Net has one scale, and networks without initial predictions have none.
    """

    predictions: dict[str, Tensor]
    deep_supervision: list[dict[str, Tensor]]


class MultiTaskNetwork(nn.Module):
    """A network that predicts tasks densely; training, checkpoints and export take any of them.

    Attributes:
        architecture: Name in `mtinet_ros.network.build.ARCHITECTURES`.
        left_out: Parts of the architecture that are switched off, see `AblatedMTINet`.
        backbone_name: Name of the backbone in the registry.
        backbone: The backbone.
        tasks: Output channels of the target tasks, in canonical order.
        auxiliary_tasks: Output channels of the tasks that training supervises, in canonical order:
            those of the initial predictions; without such, the target tasks.
    """

    architecture: ClassVar[str]

    def __init__(
        self,
        backbone: str,
        tasks: Mapping[str, int],
        auxiliary_tasks: Mapping[str, int] | None = None,
    ) -> None:
        """Build the backbone with fresh weights and check the tasks.

        Raises:
            ConfigurationError: Unknown backbone or task, impossible channels, or task sets that do
                not fit together.
        """
        super().__init__()
        self.tasks, self.auxiliary_tasks = canonical_task_sets(tasks, auxiliary_tasks)
        self.left_out: tuple[str, ...] = ()
        self.backbone_name = backbone
        self.backbone = build_backbone(backbone)

    def forward(self, image: Tensor) -> MTINetOutput:
        """Predict every task.

        Args:
            image: N×3×H×W float, RGB, normalised with ImageNet's mean and deviation; H and W are
                multiples of 32.

        Raises:
            InputError: The image has another shape.
        """
        raise NotImplementedError

    def four_scales(self) -> tuple[int, int, int, int]:
        """Channels of the backbone at strides 4, 8, 16, 32.

        Raises:
            ConfigurationError: It has other maps.
        """
        channels, strides = self.backbone.channels, self.backbone.strides
        if len(channels) != 4:
            raise ConfigurationError(
                f"the backbone {self.backbone_name} has one map, of stride {strides[0]}, and "
                f"the architecture {self.architecture} needs strides 4, 8, 16 and 32; take an "
                "HRNet or EfficientNet-Lite, or a baseline"
            )
        c0, c1, c2, c3 = channels
        return c0, c1, c2, c3

    def description(self) -> dict[str, object]:
        """The arguments of `mtinet_ros.network.build.build_network` that give this network."""
        return {
            "architecture": self.architecture,
            "backbone": self.backbone_name,
            "tasks": self.tasks,
            "auxiliary_tasks": self.auxiliary_tasks,
            **dict.fromkeys(self.left_out, False),
        }


def check_size(image: Tensor) -> None:
    """Raise `InputError` unless the tensor is an image batch whose sides are multiples of 32."""
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise InputError(f"the image tensor has shape {shape}; the network takes N×3×H×W")
    height, width = shape[2:]
    if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise InputError(
            f"the image is {height}×{width} (H×W); both must be multiples of {SIZE_MULTIPLE}, so "
            "pad or resize it"
        )
