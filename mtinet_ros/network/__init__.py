# SPDX-License-Identifier: Apache-2.0
"""MTI-Net in PyTorch: the only home of the architecture."""

from mtinet_ros.network.checkpoint import load_checkpoint, save_checkpoint
from mtinet_ros.network.mtinet import MTINet, MTINetOutput
from mtinet_ros.network.tasks import TASK_ORDER

__all__ = ["TASK_ORDER", "MTINet", "MTINetOutput", "load_checkpoint", "save_checkpoint"]
