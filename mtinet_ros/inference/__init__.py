# SPDX-License-Identifier: Apache-2.0
"""Runs an exported model: one file per backend, no torch, no ROS."""

from mtinet_ros.inference.backend import OUTPUT_LAYOUT, Backend, Outputs
from mtinet_ros.inference.selection import BACKEND_CHOICES, load_backend

__all__ = ["BACKEND_CHOICES", "OUTPUT_LAYOUT", "Backend", "Outputs", "load_backend"]
