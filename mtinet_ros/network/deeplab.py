# SPDX-License-Identifier: Apache-2.0
"""The head of DeepLabV3 (arXiv 1706.05587), for backbones with one map of stride 8.

Names of weights and dropout are as in torchvision's implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtinet_ros.errors import InputError
from mtinet_ros.network.blocks import conv3x3

RATES = (12, 24, 36)
CHANNELS = 256


class DeepLabHead(nn.Sequential):
    """Context at several rates, then one 3×3 convolution and the prediction."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """N×in_channels×h×w in, N×out_channels×h×w out."""
        super().__init__(
            SpatialPyramidPooling(in_channels),
            conv3x3(CHANNELS, CHANNELS),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, out_channels, 1),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The prediction from a backbone's only map."""
        (features,) = maps
        for module in self:
            features = module(features)
        return features


class SpatialPyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling (ASPP): dilated convolutions and the mean, side by side."""

    def __init__(self, in_channels: int) -> None:
        """N×in_channels×h×w in, N×CHANNELS×h×w out."""
        super().__init__()
        self.convs = nn.ModuleList(
            [
                _with_norm(nn.Conv2d(in_channels, CHANNELS, 1, bias=False)),
                *(_with_norm(conv3x3(in_channels, CHANNELS, dilation=rate)) for rate in RATES),
                nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    *_with_norm(nn.Conv2d(in_channels, CHANNELS, 1, bias=False)),
                ),
            ]
        )
        self.project = nn.Sequential(
            *_with_norm(nn.Conv2d(len(self.convs) * CHANNELS, CHANNELS, 1, bias=False)),
            nn.Dropout(0.5),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features with context.

        Raises:
            InputError: Training on one image, whose mean gives batch norm nothing to normalise.
        """
        if self.training and len(features) == 1:
            raise InputError(
                "the head of DeepLab cannot be trained on one image at a time, because batch norm "
                "needs several of the means it takes; set data.batch_size to 2 or more"
            )
        height, width = map(int, features.shape[2:])
        *local, mean = [convolution(features) for convolution in self.convs]
        everywhere = functional.interpolate(mean, scale_factor=(float(height), float(width)))
        projected: Tensor = self.project(torch.cat([*local, everywhere], dim=1))
        return projected


def _with_norm(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )
