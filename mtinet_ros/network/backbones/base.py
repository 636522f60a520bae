# SPDX-License-Identifier: Apache-2.0
"""What the networks ask of a backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from mtinet_ros.errors import ModelError
from mtinet_ros.network.load_weights import load_weights

# RGB in 0..1, as torchvision has them; every backbone's input is normalised with these.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Feature extractor; MTI-Net works on any with four maps, the baselines on all.

    Attributes:
        channels: Channels of the maps, fine to coarse.
        strides: Pixels of the image, in one direction, for one of each map.
        landmark: Matches a parameter's name that such a backbone has and no other kind.
        classifier: How the names begin that an ImageNet file has besides, above the maps.
        added: How the names begin that no ImageNet file has.
        public_files: Where ImageNet weights come from, for messages.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...] = (4, 8, 16, 32)
    landmark: ClassVar[re.Pattern[str]]
    classifier: ClassVar[tuple[str, ...]]
    added: ClassVar[tuple[str, ...]] = ()
    public_files: ClassVar[str]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """N×3×H×W in; for each k N×channels[k]×H/strides[k]×W/strides[k] out."""
        raise NotImplementedError

    def installed_imagenet_weights(self) -> Mapping[str, Tensor] | None:
        """ImageNet weights by name that come with a Python package; None: no package has any.

        Raises:
            ModelError: The package is not installed, or its file is damaged.
        """
        return None

    def load_imagenet_weights(self, weights: Mapping[str, Tensor], source: str) -> None:
        """Load ImageNet weights by the names of the public files.

        Args:
            weights: Tensors by name; the classifier is left out.
            source: Where they come from, for messages.

        Raises:
            ModelError: The weights are those of another network; the message lists what is
                missing, unexpected or of another shape.
        """
        own = {k: v for k, v in self.state_dict().items() if k.startswith(self.added)}
        given = {k: v for k, v in weights.items() if not k.startswith(self.classifier)}
        try:
            load_weights(self, {**given, **own}, source)
        except ModelError as error:
            raise ModelError(f"{error}; ImageNet weights are in {self.public_files}") from error
