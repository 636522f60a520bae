# SPDX-License-Identifier: Apache-2.0
"""What MTI-Net asks of a backbone, and the backbones that can be named in a configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError

# RGB in 0..1; every backbone's input is normalised with these.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A pyramid of four feature maps; everything above it works on any subclass.

    Attributes:
        channels: Channels of the maps at strides 4, 8, 16 and 32.
    """

    channels: tuple[int, int, int, int]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N×3×H×W in; N×channels[k]×H/s×W/s out, for s = 4, 8, 16, 32."""
        raise NotImplementedError


def _hrnet(name: str) -> Backbone:
    from mtinet_ros.network.backbones.hrnet import CONFIGS, HRNet

    return HRNet(CONFIGS[name])


def _efficientnet_lite0() -> Backbone:
    from mtinet_ros.network.backbones.efficientnet_lite import EfficientNetLite0

    return EfficientNetLite0()


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "hrnet_w18": partial(_hrnet, "hrnet_w18"),
    "hrnet_w32": partial(_hrnet, "hrnet_w32"),
    "hrnet_w48": partial(_hrnet, "hrnet_w48"),
    "efficientnet_lite0": _efficientnet_lite0,
}


def build_backbone(name: str) -> Backbone:
    """Make the named backbone with fresh weights.

    Raises:
        ConfigurationError: No such backbone.
    """
    if name not in BACKBONES:
        raise ConfigurationError(
            f"The backbone {name!r} is unknown; choose one of {', '.join(BACKBONES)}."
        )
    return BACKBONES[name]()
