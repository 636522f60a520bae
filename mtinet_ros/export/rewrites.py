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

from mtinet_ros.network import MultiTaskNetwork
from mtinet_ros.network.blocks import resize
from mtinet_ros.network.mtinet import AggregationHead


def rewrite_for_speed(network: MultiTaskNetwork) -> MultiTaskNetwork:
    """A copy of the network, in evaluation mode, with the same outputs in less time."""
    network = copy.deepcopy(network).eval()
    channels = network.backbone.channels
    for name, module in list(network.named_modules()):
        # Without multiple scales, a head has nothing to upsample.
        if isinstance(module, AggregationHead) and module.in_channels == sum(channels):
            network.set_submodule(name, LateUpsamplingHead(module, channels))
    return network


class LateUpsamplingHead(nn.Module):
    """`AggregationHead` with its first convolution below the upsampling of the coarse scales.

    A 1×1 convolution and bilinear upsampling act on different axes, so they commute; before it
    the two coarse scales have 16 and 64 times fewer pixels. The two fine scales stay as they
    were: there the convolution would widen what has to be upsampled, which costs what it saves.
    """

    def __init__(self, head: AggregationHead, channels: Sequence[int]) -> None:
        """Build from a head's weights.

        Args:
            head: The head, in evaluation mode.
            channels: Channels of the features at strides 4, 8, 16, 32.
        """
        super().__init__()
        convolution, norm, _, self.predict = head.last_layer
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        merged = fuse_conv_bn_eval(convolution, norm)
        assert merged.bias is not None
        fine, *coarse = torch.split(merged.weight, [sum(channels[:2]), *channels[2:]], dim=1)
        self.fine = _pointwise(fine, merged.bias)
        self.coarse = nn.ModuleList(_pointwise(weight) for weight in coarse)

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        """See `AggregationHead.forward`."""
        total = self.fine(torch.cat([scales[0], resize(scales[1], 2)], dim=1))
        for convolution, features, factor in zip(self.coarse, scales[2:], (4, 8), strict=True):
            total = total + resize(convolution(features), factor)
        prediction: Tensor = self.predict(functional.relu(total))
        return prediction


def _pointwise(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """A 1×1 convolution with these weights."""
    out_channels, in_channels = weight.shape[:2]
    convolution = nn.Conv2d(in_channels, out_channels, 1, bias=bias is not None)
    convolution.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        convolution.bias = nn.Parameter(bias.detach().clone())
    return convolution
