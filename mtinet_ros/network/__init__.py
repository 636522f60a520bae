# SPDX-License-Identifier: Apache-2.0
"""MTI-Net in PyTorch: the only home of the architecture."""

from mtinet_ros.network.checkpoint import load_checkpoint, load_imagenet_backbone, save_checkpoint
from mtinet_ros.network.mtinet import MTINet, MTINetOutput

__all__ = [
    "MTINet",
    "MTINetOutput",
    "load_checkpoint",
    "load_imagenet_backbone",
    "save_checkpoint",
]
