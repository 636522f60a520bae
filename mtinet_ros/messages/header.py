# SPDX-License-Identifier: Apache-2.0
"""What a std_msgs/Header says, of rclpy's classes or of a bag's."""

from __future__ import annotations

from typing import Any


def stamp_of(header: Any) -> int:
    """The stamp in ns: negative before 1970, where rclpy's Time would raise."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)
