# SPDX-License-Identifier: Apache-2.0
"""MTI-Net for ROS 2: segmentation, depth and surface normals from any camera topic."""

import os

__version__ = "0.1.0"

# ONNX Runtime from 1.29 on tells Microsoft of each session, unless this is set before its import.
# Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
