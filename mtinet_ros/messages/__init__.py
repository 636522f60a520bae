# SPDX-License-Identifier: Apache-2.0
"""What ROS's messages mean, whoever made them: rclpy, or a reader of bags. ROS is not imported.

A message is anything with the fields of its type: of rclpy's classes, of the dataclasses that
rosbags makes (whose sequences are NumPy arrays), of ROS 1 (whose CameraInfo has D, K, R and P).
"""
