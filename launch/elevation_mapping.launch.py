# SPDX-License-Identifier: Apache-2.0
"""A map of heights around the robot by elevation_mapping_cupy. See docs/pipelines.md."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"


def generate_launch_description() -> LaunchDescription:
    params_file = LaunchConfiguration("params_file")
    core = PathJoinSubstitution(
        [FindPackageShare("elevation_mapping_cupy"), "config", "core", "core_param.yaml"]
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=str(CONFIG / "pipelines" / "elevation_mapping.yaml"),
                description="YAML file with the parameters of perception and of the map",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(HERE / "perception.launch.py")),
                launch_arguments={"params_file": params_file}.items(),
            ),
            Node(
                package="elevation_mapping_cupy",
                executable="elevation_mapping_node",
                name="elevation_mapping_node",
                parameters=[
                    core,
                    params_file,
                    {"use_sim_time": LaunchConfiguration("use_sim_time")},
                ],
                output="screen",
            ),
        ]
    )
