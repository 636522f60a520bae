# SPDX-License-Identifier: Apache-2.0
"""Recordings processed as a whole: nothing dropped, resumable, in shards; without ROS."""
