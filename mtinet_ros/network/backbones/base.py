# SPDX-License-Identifier: Apache-2.0
"""What MTI-Net asks of a backbone."""

from __future__ import annotations

from torch import Tensor, nn

# RGB in 0..1, as torchvision has them; every backbone's input is normalised with these.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Feature extractor with four maps; everything above it works on any subclass.

    Attributes:
        channels: Channels of the maps at strides 4, 8, 16, 32.
    """

    channels: tuple[int, int, int, int]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """N×3×H×W in; N×channels[k]×H/s×W/s out, for s = 4, 8, 16, 32."""
        raise NotImplementedError
