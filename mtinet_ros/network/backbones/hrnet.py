# SPDX-License-Identifier: Apache-2.0
"""HRNet: four branches that keep their resolution and exchange features (arXiv 1908.07919).

Parameter names follow the public ImageNet checkpoints. Two details matter to trained MTI-Net
weights: lower-resolution branches are fused by bilinear (not nearest) upsampling, and every batch
norm of the backbone has momentum 0.01.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from mtinet_ros.network.backbones.base import Backbone
from mtinet_ros.network.blocks import BasicBlock, Bottleneck, conv3x3, resize

BN_MOMENTUM = 0.01
_STEM_CHANNELS = 64


@dataclass(frozen=True)
class HRNetConfig:
    """Size of an HRNet.

    Attributes:
        width: Channels C of the finest branch; the branches have C, 2C, 4C, 8C.
        stem_blocks: Bottlenecks before the branches split.
        blocks: Basic blocks per branch in every module.
        modules: Number of exchange modules in stages 2, 3 and 4.
    """

    width: int
    stem_blocks: int
    blocks: int
    modules: tuple[int, int, int]


class HRNet(Backbone):
    """The backbone of the paper (Sec. 4.1)."""

    landmark = re.compile(r"stage2\.0\.branches\.0\.0\.conv1\.weight")
    classifier = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
    public_files = (
        "HRNet's own files (hrnet_w18_small_model_v2.pth for hrnet_w18, "
        "hrnetv2_w48_imagenet_pretrained.pth for hrnet_w48), or timm's hrnet_w18_small_v2"
    )

    def __init__(self, config: HRNetConfig) -> None:
        """Build with random weights (normal, std 0.001 in convolutions, as HRNet's authors do)."""
        super().__init__()
        width = config.width
        self.channels = (width, 2 * width, 4 * width, 8 * width)
        stem_out = _STEM_CHANNELS * Bottleneck.expansion

        self.conv1 = conv3x3(3, _STEM_CHANNELS, stride=2)
        self.bn1 = _batch_norm(_STEM_CHANNELS)
        self.conv2 = conv3x3(_STEM_CHANNELS, _STEM_CHANNELS, stride=2)
        self.bn2 = _batch_norm(_STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            *(
                Bottleneck(_STEM_CHANNELS if i == 0 else stem_out, _STEM_CHANNELS, BN_MOMENTUM)
                for i in range(config.stem_blocks)
            )
        )
        self.transition1 = nn.ModuleList(
            [_conv_bn_relu(stem_out, width), nn.Sequential(_conv_bn_relu(stem_out, 2 * width, 2))]
        )
        self.stage2 = _stage(self.channels[:2], config.blocks, config.modules[0])
        self.transition2 = _new_branch(self.channels[:3])
        self.stage3 = _stage(self.channels[:3], config.blocks, config.modules[1])
        self.transition3 = _new_branch(self.channels)
        self.stage4 = _stage(self.channels, config.blocks, config.modules[2])

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N×3×H×W in; maps of C, 2C, 4C, 8C channels at strides 4, 8, 16, 32 out."""
        stem = self.relu(self.bn1(self.conv1(image)))
        stem = self.relu(self.bn2(self.conv2(stem)))
        stem = self.layer1(stem)
        branches: list[Tensor] = [transition(stem) for transition in self.transition1]
        branches = self.stage2(branches)
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        branches = self.stage4([*branches, self.transition3[-1](branches[-1])])
        stride_4, stride_8, stride_16, stride_32 = branches
        return stride_4, stride_8, stride_16, stride_32


# hrnet_w18 is what MTI-Net's authors call so: the layout published as HRNet-W18-C-Small-v2.
VARIANTS: dict[str, Callable[[], HRNet]] = {
    "hrnet_w18": partial(HRNet, HRNetConfig(width=18, stem_blocks=2, blocks=2, modules=(1, 3, 2))),
    "hrnet_w32": partial(HRNet, HRNetConfig(width=32, stem_blocks=4, blocks=4, modules=(1, 4, 3))),
    "hrnet_w48": partial(HRNet, HRNetConfig(width=48, stem_blocks=4, blocks=4, modules=(1, 4, 3))),
}


class ExchangeModule(nn.Module):
    """Basic blocks on every branch, then each becomes the sum of all, brought to its size."""

    def __init__(self, channels: tuple[int, ...], blocks: int) -> None:
        """One branch per entry of `channels`, finest first."""
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c, c, BN_MOMENTUM) for _ in range(blocks)))
            for c in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """List of N×channels[i]×H/2^i×W/2^i in and out."""
        maps = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        fused = []
        for target, exchanges in enumerate(self.fuse_layers):
            assert isinstance(exchanges, nn.ModuleList)
            contributions = [
                resize(exchange(x), 2 ** max(source - target, 0))
                for source, (exchange, x) in enumerate(zip(exchanges, maps, strict=True))
            ]
            total = contributions[0]
            for contribution in contributions[1:]:
                total = total + contribution
            fused.append(self.relu(total))
        return fused


class Stage(nn.Sequential):
    """Exchange modules in a row; passes the list of branches through."""

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """List of branch maps in and out (see `ExchangeModule`)."""
        for module in self:
            inputs = module(inputs)
        return inputs


def _stage(channels: tuple[int, ...], blocks: int, modules: int) -> Stage:
    return Stage(*(ExchangeModule(channels, blocks) for _ in range(modules)))


def _new_branch(channels: tuple[int, ...]) -> nn.ModuleList:
    """Existing branches pass; the last entry makes the new one from the coarsest existing one."""
    passing = [nn.Identity() for _ in channels[:-1]]
    return nn.ModuleList(
        [*passing, nn.Sequential(_conv_bn_relu(channels[-2], channels[-1], stride=2))]
    )


def _exchange(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False),
            _batch_norm(channels[target]),
        )
    halvings = [
        _conv_bn_relu(channels[source], channels[source], stride=2)
        for _ in range(target - source - 1)
    ]
    last = nn.Sequential(
        conv3x3(channels[source], channels[target], stride=2), _batch_norm(channels[target])
    )
    return nn.Sequential(*halvings, last)


def _conv_bn_relu(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(in_channels, out_channels, stride),
        _batch_norm(out_channels),
        nn.ReLU(inplace=True),
    )


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=BN_MOMENTUM)
