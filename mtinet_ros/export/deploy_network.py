# SPDX-License-Identifier: Apache-2.0
"""What is exported: a thin module around the network that keeps the model contract."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtinet_ros.errors import ExportError
from mtinet_ros.model_contract import TASK_OUTPUTS
from mtinet_ros.network import MultiTaskNetwork
from mtinet_ros.network.backbones.base import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class OutputConvention:
    """Units and axes of the network's raw outputs, which the graph brings to the contract's.

    Attributes:
        depth_output: One of `model_contract.DEPTH_OUTPUTS`: depth, or its natural logarithm.
        meters_per_unit: Metres in one unit of depth.
        normals_axes: Network component, with its sign, for x, y and z of the camera optical frame.
    """

    depth_output: str = "metres"
    meters_per_unit: float = 1.0
    normals_axes: tuple[str, str, str] = ("x", "y", "z")


class DeployNetwork(nn.Module):
    """From camera images to the contract's outputs: all that a GPU does better than the CPU.

    Attributes:
        tasks: Tasks with an output, in the network's order.
        output_names: Names of the outputs in the order in which `forward` returns them.
    """

    _mean: Tensor
    _reciprocal_std: Tensor

    def __init__(
        self,
        network: MultiTaskNetwork,
        tasks: tuple[str, ...] | None = None,
        confidence: bool = False,
        convention: OutputConvention | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Wrap a network and switch it to evaluation.

        Args:
            network: The network with its weights.
            tasks: Tasks to export, in any order; None: all that have an output; (): none, for what
                only looks at the network inside.
            confidence: Whether to add the confidence of the segmentation as an output.
            convention: Units and axes of the network's depth and normals; None: the contract's.
            temperature: Divides the logits whose softmax the confidence is.

        Raises:
            ExportError: The network lacks a task, or none of its tasks has an output.
        """
        super().__init__()
        available = tuple(task for task in network.tasks if task in TASK_OUTPUTS)
        wanted = available if tasks is None else tuple(t for t in available if t in tasks)
        missing = set(tasks or ()) - set(available)
        if missing or (not wanted and tasks != ()):
            raise ExportError(
                f"the network has the tasks {', '.join(network.tasks)}; of these, "
                f"{', '.join(available) or 'none'} can be exported, and "
                f"{', '.join(sorted(missing)) or 'nothing else'} was asked for "
                f"(the model contract knows {', '.join(TASK_OUTPUTS)})"
            )
        if confidence and "semseg" not in wanted:
            raise ExportError("confidence is that of the segmentation; it needs the task semseg")
        self.network = network
        self.tasks = wanted
        self.confidence = confidence
        self.temperature = temperature
        self.convention = convention or OutputConvention()
        self.output_names = tuple(
            name for task, name in TASK_OUTPUTS.items() if task in wanted
        ) + (("confidence",) if confidence else ())
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("_mean", mean[:, None, None] * 255.0)
        self.register_buffer("_reciprocal_std", 1.0 / (std[:, None, None] * 255.0))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute every output.

        Args:
            image: uint8 N×H×W×3, RGB.

        Returns:
            Tensors in the order of `output_names`: labels uint8 N×H×W; normals float32 N×H×W×3 of
            unit length; depth float32 N×H×W; confidence uint8 N×H×W, 255 = certain.
        """
        # TensorRT: a uint8 input must feed a Cast, before anything else.
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        predictions = self.network((pixels - self._mean) * self._reciprocal_std).predictions
        outputs = {}
        if "semseg" in self.tasks:
            outputs["labels"] = _to_uint8(predictions["semseg"].argmax(dim=1))
        if "normals" in self.tasks:
            outputs["normals"] = self._normals(predictions["normals"])
        if "depth" in self.tasks:
            outputs["depth"] = self._depth(predictions["depth"])
        if self.confidence:
            certainty = (predictions["semseg"] / self.temperature).softmax(dim=1).amax(dim=1)
            outputs["confidence"] = _to_uint8(torch.floor(certainty * 255.0 + 0.5))
        return tuple(outputs[name] for name in self.output_names)

    def _normals(self, raw: Tensor) -> Tensor:
        axes = self.convention.normals_axes
        components = ["xyz".index(axis[-1]) for axis in axes]
        if components != [0, 1, 2]:
            raw = raw[:, components]
        signs = [-1.0 if axis.startswith("-") else 1.0 for axis in axes]
        if signs != [1.0, 1.0, 1.0]:
            raw = raw * torch.tensor(signs)[:, None, None]
        return _unit_length(raw).permute(0, 2, 3, 1)

    def _depth(self, raw: Tensor) -> Tensor:
        depth = raw.squeeze(1)
        if self.convention.depth_output == "log_metres":
            depth = depth.exp()
        if self.convention.meters_per_unit != 1.0:
            depth = depth * self.convention.meters_per_unit
        return depth


def _to_uint8(values: Tensor) -> Tensor:
    """TensorRT: a uint8 output must come from a Cast, and that Cast takes no integers."""
    return values.to(torch.float32).to(torch.uint8)


def _unit_length(vectors: Tensor) -> Tensor:
    """N×3×H×W of any length to unit length; a zero vector stays zero."""
    squared = (vectors * vectors).sum(dim=1, keepdim=True)
    return vectors / torch.sqrt(squared + 1e-12)
