# SPDX-License-Identifier: Apache-2.0
"""Exact rewrites of MTI-Net that save time when it runs; training keeps the paper's form.

Each gives the same numbers but for rounding, is tested to, and gained at least 3 % end to end
where it was measured; docs/performance.md has the figures, and what was tried and not kept.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mtinet_ros.network import MTINet
from mtinet_ros.network.blocks import resize
from mtinet_ros.network.mtinet import AggregationHead, MultiModalDistillation


def rewrite_for_speed(network: MTINet) -> MTINet:
    """A copy of the network, in evaluation mode, that answers the same in less time."""
    network = copy.deepcopy(network).eval()
    for task, head in network.heads.items():
        assert isinstance(head, AggregationHead)
        network.heads[task] = LateUpsamplingHead(head, network.backbone.channels)
    for scale in range(4):
        name = f"distillation_scale_{scale}"
        setattr(network, name, MergedDistillation(getattr(network, name)))
    return network


class LateUpsamplingHead(nn.Module):
    """`AggregationHead` with its first convolution below the upsampling of the coarse scales.

    A 1×1 convolution and bilinear upsampling act on different axes, so they commute; before it
    the two coarse scales have 16 and 64 times fewer pixels. The two fine scales stay as they
    were: there the convolution would widen what has to be upsampled, which costs more than it
    saves.
    """

    def __init__(self, head: AggregationHead, channels: Sequence[int]) -> None:
        """Take over a head's weights.

        Args:
            head: In evaluation mode.
            channels: Of the features at strides 4, 8, 16, 32.
        """
        super().__init__()
        convolution, norm, _, self.predict = head.last_layer
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        merged = fuse_conv_bn_eval(convolution, norm)
        assert merged.bias is not None
        fine, *coarse = torch.split(merged.weight, [sum(channels[:2]), *channels[2:]], dim=1)
        self.fine = _convolution(fine, merged.bias)
        self.coarse = nn.ModuleList(_convolution(weight) for weight in coarse)

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        """See `AggregationHead.forward`."""
        total = self.fine(torch.cat([scales[0], resize(scales[1], 2)], dim=1))
        for convolution, features, factor in zip(self.coarse, scales[2:], (4, 8), strict=True):
            total = total + resize(convolution(features), factor)
        prediction: Tensor = self.predict(functional.relu(total))
        return prediction


class MergedDistillation(nn.Module):
    """`MultiModalDistillation` with one convolution for all that read one task's features.

    For every other task there are two of them, a message and its gate: all of a source's messages
    come first in the merged convolution, then all of its gates.
    """

    def __init__(self, distillation: MultiModalDistillation) -> None:
        """Take over the weights."""
        super().__init__()
        pairs = distillation.self_attention
        self.targets = tuple(pairs)
        self.readers: dict[str, list[str]] = {}
        for target, sources in pairs.items():
            assert isinstance(sources, nn.ModuleDict)
            for source in sources:
                self.readers.setdefault(source, []).append(target)
        self.convolutions = nn.ModuleDict()
        for source, targets in self.readers.items():
            blocks = [pairs.get_submodule(f"{target}.{source}") for target in targets]
            weights: list[Tensor] = [block.get_parameter("conv.weight") for block in blocks]
            weights += [block.get_parameter("attention.0.weight") for block in blocks]
            self.convolutions[source] = _convolution(torch.cat(weights))

    def forward(self, refined: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `MultiModalDistillation.forward`."""
        distilled = {target: refined[target] for target in self.targets}
        for source, convolution in self.convolutions.items():
            targets = self.readers[source]
            channels = refined[source].shape[1]
            messages, gates = convolution(refined[source]).split(len(targets) * channels, dim=1)
            parts = (messages * torch.sigmoid(gates)).split(channels, dim=1)
            for target, part in zip(targets, parts, strict=True):
                distilled[target] = distilled[target] + part
        return distilled


def _convolution(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """A convolution with these weights that keeps the size."""
    out_channels, in_channels, kernel, _ = weight.shape
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, padding=kernel // 2, bias=bias is not None
    )
    convolution.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        convolution.bias = nn.Parameter(bias.detach().clone())
    return convolution
