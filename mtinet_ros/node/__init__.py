# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 skin: parameters, image messages, publishers, diagnostics, lifecycle."""
