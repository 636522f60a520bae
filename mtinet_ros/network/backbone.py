# SPDX-License-Identifier: Apache-2.0
"""What MTI-Net asks of a backbone, and the backbones that can be named in a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError, ModelError

# RGB in 0..1; every backbone's input is normalised with these.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A pyramid of four feature maps; everything above it works on any subclass.

    Attributes:
        channels: Channels of the maps at strides 4, 8, 16 and 32.
        classifier_prefixes: Names of what a published classifier has on top of the backbone.
        added_prefixes: Names of what the backbone has and the published classifier has not.
    """

    channels: tuple[int, int, int, int]
    classifier_prefixes: tuple[str, ...] = ()
    added_prefixes: tuple[str, ...] = ()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N×3×H×W in; N×channels[k]×H/s×W/s out, for s = 4, 8, 16, 32."""
        raise NotImplementedError

    def load_imagenet_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a published ImageNet classifier, all but its classifier.

        Raises:
            ModelError: The weights are those of another network.
        """
        own = {k: v for k, v in self.state_dict().items() if not k.startswith(self.added_prefixes)}
        given = {k: v for k, v in weights.items() if not k.startswith(self.classifier_prefixes)}
        wrong = sorted(own.keys() ^ given.keys()) or [
            key for key in own if own[key].shape != given[key].shape
        ]
        if wrong:
            raise ModelError(
                f"These ImageNet weights are not those of {type(self).__name__}: {len(wrong)} "
                f"entries differ, first {wrong[0]!r}."
            )
        self.load_state_dict({**self.state_dict(), **given})


def _hrnet(name: str) -> Backbone:
    from mtinet_ros.network.hrnet import CONFIGS, HRNet

    return HRNet(CONFIGS[name])


def _efficientnet_lite0() -> Backbone:
    from mtinet_ros.network.efficientnet_lite import EfficientNetLite0

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
