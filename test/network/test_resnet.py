# SPDX-License-Identifier: Apache-2.0
"""A dilated ResNet means with the public weights what they meant where they were trained."""

from __future__ import annotations

import pytest
import torch

from mtinet_ros.errors import InputError
from mtinet_ros.network.backbones import resnet
from mtinet_ros.network.backbones.registry import BACKBONES
from mtinet_ros.network.blocks import BasicBlock, Bottleneck
from mtinet_ros.network.deeplab import DeepLabHead


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_dilation_computes_the_strided_network_at_every_fourth_place(block, monkeypatch):
    torch.manual_seed(0)
    dilated = resnet.ResNet(block, (1, 1, 2, 2)).eval()
    monkeypatch.setattr(resnet, "_LAYERS", ((1, 1), (2, 1), (2, 1), (2, 1)))
    strided = resnet.ResNet(block, (1, 1, 2, 2)).eval()
    strided.load_state_dict(dilated.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        (fine,), (coarse,) = dilated(image), strided(image)
    assert (fine.shape[2:], coarse.shape[2:]) == ((8, 12), (2, 3))
    torch.testing.assert_close(fine[..., ::4, ::4], coarse, rtol=1e-4, atol=1e-4)


def test_names_are_those_of_the_public_files():
    with torch.device("meta"):
        names = BACKBONES["resnet50"]().state_dict().keys()
    assert {
        "conv1.weight", "bn1.running_mean", "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.weight", "layer2.0.conv2.weight", "layer3.5.bn3.bias",
        "layer4.2.conv3.weight",
    } <= set(names)  # fmt: skip


def test_context_of_the_head_reaches_over_the_whole_picture():
    """The mean is one of five branches; the widest convolution sees but 36 places off."""
    head = DeepLabHead(8, 2).eval()
    features = torch.randn(1, 8, 5, 90, requires_grad=True)
    head([features])[0, 0, 0, 0].backward()
    assert features.grad is not None
    assert bool(features.grad[..., 89].any())


def test_one_image_at_a_time_is_refused_before_batch_norm_fails():
    with pytest.raises(InputError, match=r"data\.batch_size to 2 or more"):
        DeepLabHead(8, 2).train()([torch.zeros(1, 8, 4, 4)])
