# SPDX-License-Identifier: Apache-2.0
"""The residual blocks that the backbones and MTI-Net's own modules are built from."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def resize(features: Tensor, factor: int) -> Tensor:
    """Upsample N×C×H×W by an integer factor, bilinear between pixel centres (align_corners=False).

    A factor rather than a target size keeps graphs of any image size free of shape arithmetic.
    """
    if factor == 1:
        return features
    return functional.interpolate(
        features, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """3×3 convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(
        in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False
    )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a residual connection (projected where the shape changes)."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bn_momentum: float = 0.1,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
    ) -> None:
        """N×in_channels×H×W in, N×out_channels×H/stride×W/stride out."""
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride, dilations[0])
        self.bn1 = nn.BatchNorm2d(out_channels, momentum=bn_momentum)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(out_channels, out_channels, dilation=dilations[1])
        self.bn2 = nn.BatchNorm2d(out_channels, momentum=bn_momentum)
        self.downsample = (
            _projection(in_channels, out_channels, stride, bn_momentum)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, features: Tensor) -> Tensor:
        """Residual of two convolutions, then ReLU."""
        shortcut = features if self.downsample is None else self.downsample(features)
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        out: Tensor = self.relu(residual + shortcut)
        return out


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolution with a residual connection; puts out four times `channels`."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        bn_momentum: float = 0.1,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
    ) -> None:
        """N×in_channels×H×W in, N×(4·channels)×H/stride×W/stride out.

        The 3×3 convolution has the first of the dilations, as the first of `BasicBlock` has.
        """
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels, momentum=bn_momentum)
        self.conv2 = conv3x3(channels, channels, stride, dilations[0])
        self.bn2 = nn.BatchNorm2d(channels, momentum=bn_momentum)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, momentum=bn_momentum)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            _projection(in_channels, out_channels, stride, bn_momentum)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, features: Tensor) -> Tensor:
        """Residual of three convolutions, then ReLU."""
        shortcut = features if self.downsample is None else self.downsample(features)
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        out: Tensor = self.relu(residual + shortcut)
        return out


def _projection(
    in_channels: int, out_channels: int, stride: int, bn_momentum: float
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels, momentum=bn_momentum),
    )
