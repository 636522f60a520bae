# SPDX-License-Identifier: Apache-2.0
"""A nav2 costmap of what a camera sees: the floor clears it, everything else marks it.

nav2's lifecycle manager brings up both the perception node and the costmap. On a robot that has
nav2, start perception.launch.py with `autostart:=false` instead, and take the voxel_layer of
config/pipelines/nav2_costmap.yaml into its local_costmap. See docs/pipelines.md.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"


def generate_launch_description() -> LaunchDescription:
    params_file = LaunchConfiguration("params_file")
    sim_time = {"use_sim_time": LaunchConfiguration("use_sim_time")}
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=str(CONFIG / "pipelines" / "nav2_costmap.yaml"),
                description="YAML file with the parameters of perception, costmap and manager",
            ),
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
            Node(
                package="nav2_lifecycle_manager",
                executable="lifecycle_manager",
                name="lifecycle_manager_perception",
                parameters=[params_file, sim_time],
                output="screen",
            ),
        ]
    )
