# SPDX-License-Identifier: Apache-2.0
"""ResNet with dilated convolutions instead of its last two strides (arXiv 1512.03385, 1706.05587).

Parameter names are torchvision's, so that its ImageNet weights load one to one. Dilation changes
neither names nor shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from mtinet_ros.network.backbones.base import Backbone
from mtinet_ros.network.blocks import BasicBlock, Bottleneck

_STEM_CHANNELS = 64
# Stride and dilation of the four layers.
_LAYERS = ((1, 1), (2, 1), (1, 2), (1, 4))


class ResNet(Backbone):
    """One map, of stride 8; the backbone of the authors' baselines without HRNet (Sec. 4.1)."""

    strides = (8,)
    landmark = re.compile(r"layer4\.0\.conv1\.weight")
    classifier = ("fc.",)
    public_files = "torchvision's files (resnet18, resnet50; .pth or .safetensors)"

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], blocks: tuple[int, ...]
    ) -> None:
        """Build with random weights; `blocks` is the number of blocks in each of four layers."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        in_channels, dilation_before = _STEM_CHANNELS, 1
        for number, (count, (stride, dilation)) in enumerate(zip(blocks, _LAYERS, strict=True)):
            channels = _STEM_CHANNELS << number
            layer = nn.Sequential()
            for i in range(count):
                layer.append(
                    block(
                        in_channels,
                        channels,
                        stride=stride if i == 0 else 1,
                        # The convolution that had the stride still reads the layer before.
                        dilations=(dilation if i else dilation_before, dilation),
                    )
                )
                in_channels = channels * block.expansion
            self.add_module(f"layer{number + 1}", layer)
            dilation_before = dilation
        self.channels = (in_channels,)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """N×3×H×W in; one map N×channels[0]×H/8×W/8 out."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        for number in range(len(_LAYERS)):
            features = self.get_submodule(f"layer{number + 1}")(features)
        return (features,)


VARIANTS: dict[str, Callable[[], ResNet]] = {
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
}
