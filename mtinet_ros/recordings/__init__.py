# SPDX-License-Identifier: Apache-2.0
"""Reading and writing what cameras recorded (bags, videos, pictures), without ROS."""
