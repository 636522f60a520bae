# SPDX-License-Identifier: Apache-2.0
"""What a robot runs: a thin module around MTI-Net that keeps the model contract."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtinet_ros.errors import ExportError
from mtinet_ros.model_contract import TASK_OUTPUTS
from mtinet_ros.network import MTINet
from mtinet_ros.network.backbones.base import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class OutputEncoding:
    """What the network's raw outputs are, so that the graph can turn them into the contract's.

    Attributes:
        depth: One of `DEPTH_OUTPUTS`: depth itself, or its natural logarithm.
        meters_per_unit: Metres in one unit of depth.
        normals_axes: Network component, with its sign, for x, y and z of the camera optical frame.
    """

    depth: str = "metres"
    meters_per_unit: float = 1.0
    normals_axes: tuple[str, str, str] = ("x", "y", "z")


class DeployNetwork(nn.Module):
    """Camera picture in, answers out: everything that a GPU does better than the robot's CPU.

    Attributes:
        output_names: Outputs in the order in which `forward` returns them.
    """

    _mean: Tensor
    _reciprocal_std: Tensor

    def __init__(
        self,
        network: MTINet,
        tasks: tuple[str, ...] | None = None,
        confidence: bool = False,
        encoding: OutputEncoding | None = None,
    ) -> None:
        """Wrap a network, which is switched to evaluation.

        Args:
            network: With its weights.
            tasks: Which of its tasks to answer, in any order; None: all that have an output.
            confidence: Also answer how sure the segmentation is.
            encoding: What the network's depth and normals are; None: as the contract has them.

        Raises:
            ExportError: The network has none of the tasks, or not the one asked for.
        """
        super().__init__()
        available = tuple(task for task in network.tasks if task in TASK_OUTPUTS)
        wanted = available if tasks is None else tuple(t for t in available if t in tasks)
        missing = set(tasks or ()) - set(available)
        if missing or not wanted:
            raise ExportError(
                f"the network answers {', '.join(network.tasks)}; of these, "
                f"{', '.join(available) or 'none'} can be exported, and "
                f"{', '.join(sorted(missing)) or 'nothing else'} was asked for "
                f"(the model contract knows {', '.join(TASK_OUTPUTS)})"
            )
        if confidence and "semseg" not in wanted:
            raise ExportError("confidence is that of the segmentation: it needs the task semseg")
        self.network = network
        self.tasks = wanted
        self.confidence = confidence
        self.encoding = encoding or OutputEncoding()
        self.output_names = tuple(
            name for task, name in TASK_OUTPUTS.items() if task in wanted
        ) + (("confidence",) if confidence else ())
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("_mean", mean[:, None, None] * 255.0)
        self.register_buffer("_reciprocal_std", 1.0 / (std[:, None, None] * 255.0))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Answer every task.

        Args:
            image: uint8 N×H×W×3, RGB.

        Returns:
            Tensors in the order of `output_names`: labels uint8 N×H×W; normals float32 N×H×W×3 of
            unit length; depth float32 N×H×W; confidence uint8 N×H×W, 255 = certain.
        """
        # TensorRT: a uint8 input must feed a Cast, before anything else.
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        predictions = self.network((pixels - self._mean) * self._reciprocal_std).predictions
        answers = {}
        if "semseg" in self.tasks:
            answers["labels"] = _to_uint8(predictions["semseg"].argmax(dim=1))
        if "normals" in self.tasks:
            answers["normals"] = self._normals(predictions["normals"])
        if "depth" in self.tasks:
            answers["depth"] = self._depth(predictions["depth"])
        if self.confidence:
            certainty = predictions["semseg"].softmax(dim=1).amax(dim=1)
            answers["confidence"] = _to_uint8(torch.floor(certainty * 255.0 + 0.5))
        return tuple(answers[name] for name in self.output_names)

    def _normals(self, raw: Tensor) -> Tensor:
        axes = self.encoding.normals_axes
        components = ["xyz".index(axis[-1]) for axis in axes]
        if components != [0, 1, 2]:
            raw = raw[:, components]
        signs = [-1.0 if axis.startswith("-") else 1.0 for axis in axes]
        if signs != [1.0, 1.0, 1.0]:
            raw = raw * torch.tensor(signs)[:, None, None]
        return _unit_length(raw).permute(0, 2, 3, 1)

    def _depth(self, raw: Tensor) -> Tensor:
        depth = raw.squeeze(1)
        if self.encoding.depth == "log_metres":
            depth = depth.exp()
        if self.encoding.meters_per_unit != 1.0:
            depth = depth * self.encoding.meters_per_unit
        return depth


def _to_uint8(values: Tensor) -> Tensor:
    """TensorRT: a uint8 output must come from a Cast, and that Cast takes no integers."""
    return values.to(torch.float32).to(torch.uint8)


def _unit_length(vectors: Tensor) -> Tensor:
    """N×3×H×W of any length to unit length; a zero vector stays zero."""
    squared = (vectors * vectors).sum(dim=1, keepdim=True)
    return vectors / torch.sqrt(squared + 1e-12)
