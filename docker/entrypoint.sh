#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command with ROS 2 and the workspace sourced.
set -e
. "/opt/ros/${ROS_DISTRO}/setup.bash"
. /opt/mtinet_ros/local_setup.bash
exec "$@"
