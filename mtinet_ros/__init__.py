# SPDX-License-Identifier: Apache-2.0
"""MTI-Net for ROS 2: segmentation, depth and surface normals from any camera topic."""

__version__ = "0.1.0"
