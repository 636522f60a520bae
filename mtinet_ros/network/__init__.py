# SPDX-License-Identifier: Apache-2.0
"""MTI-Net in PyTorch, and the networks it is compared with: the only home of the architectures."""

from mtinet_ros.network.build import build_network
from mtinet_ros.network.checkpoint import load_checkpoint, load_imagenet_backbone, save_checkpoint
from mtinet_ros.network.mtinet import MTINet
from mtinet_ros.network.multi_task_network import MTINetOutput, MultiTaskNetwork

__all__ = [
    "MTINet",
    "MTINetOutput",
    "MultiTaskNetwork",
    "build_network",
    "load_checkpoint",
    "load_imagenet_backbone",
    "save_checkpoint",
]
