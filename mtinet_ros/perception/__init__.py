# SPDX-License-Identifier: Apache-2.0
"""Camera image in, `Prediction` out. NumPy and OpenCV only: no torch, no ROS."""
