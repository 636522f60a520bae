# SPDX-License-Identifier: Apache-2.0
"""A nav2 costmap of what a camera sees: the floor clears it, everything else marks it.

nav2's lifecycle managers bring up the perception node and the costmap, each its own: a costmap by
itself has no bond. On a robot that has nav2, start perception.launch.py with `autostart:=false`
instead, and take the voxel_layer of config/pipelines/nav2_costmap.yaml into its local_costmap. See
docs/pipelines.md.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"

# In Humble the costmap's node lies in a namespace of its name.
COSTMAP = "costmap/costmap" if os.environ.get("ROS_DISTRO") == "humble" else "costmap"

PACKAGES = ("nav2_costmap_2d", "nav2_lifecycle_manager")


def generate_launch_description() -> LaunchDescription:
    params_file = LaunchConfiguration("params_file")
    sim_time = {"use_sim_time": LaunchConfiguration("use_sim_time")}
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=str(CONFIG / "pipelines" / "nav2_costmap.yaml"),
                description="YAML file with the parameters of perception, costmap and managers",
            ),
            OpaqueFunction(function=require),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(HERE / "perception.launch.py")),
                launch_arguments={"params_file": params_file, "autostart": "false"}.items(),
            ),
            Node(
                package="nav2_costmap_2d",
                executable="nav2_costmap_2d",
                name="costmap",
                parameters=[params_file, sim_time],
                output="screen",
            ),
            *(
                Node(
                    package="nav2_lifecycle_manager",
                    executable="lifecycle_manager",
                    name=f"lifecycle_manager_{managed}",
                    parameters=[params_file, {"node_names": [node_name]}, sim_time],
                    output="screen",
                )
                for managed, node_name in (("perception", "perception"), ("costmap", COSTMAP))
            ),
        ]
    )


def require(context: LaunchContext) -> None:
    """Say what is missing before anything has started: launch would leave that running."""
    for package in PACKAGES:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            apt = f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-{package.replace('_', '-')}"
            raise RuntimeError(
                f"{package} is not installed; `sudo apt install {apt}` brings it"
            ) from None
