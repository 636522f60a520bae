# SPDX-License-Identifier: Apache-2.0
"""A colored cloud by depth_image_proc, made of the predicted depth and the picture it belongs to.

The node's own `points` needs no second process; this is for who builds on image_pipeline. See
docs/pipelines.md.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"

# CameraInfo is taken from beside the picture.
REMAPPINGS = [
    ("rgb/image_rect_color", "/perception/{camera}/rgb/image"),
    ("rgb/camera_info", "/perception/{camera}/rgb/camera_info"),
    ("depth_registered/image_rect", "/perception/{camera}/depth/image"),
    ("points", "/{camera}/depth_registered/points"),
]


def of_camera(topic: str) -> list[SomeSubstitutionsType]:
    before, after = topic.split("{camera}")
    return [before, LaunchConfiguration("camera"), after]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=str(CONFIG / "pipelines" / "rgbd.yaml"),
                description="YAML file with the parameters of the perception node",
            ),
            DeclareLaunchArgument(
                "camera",
                default_value="camera",
                description="Name, in params_file, of the camera whose picture and depth are used",
            ),
            OpaqueFunction(function=require),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(HERE / "perception.launch.py")),
                launch_arguments={"params_file": LaunchConfiguration("params_file")}.items(),
            ),
            ComposableNodeContainer(
                package="rclcpp_components",
                executable="component_container",
                name="depth_cloud",
                namespace="",
                output="screen",
                composable_node_descriptions=[
                    ComposableNode(
                        package="depth_image_proc",
                        plugin="depth_image_proc::PointCloudXyzrgbNode",
                        name="point_cloud_xyzrgb",
                        remappings=[(name, of_camera(topic)) for name, topic in REMAPPINGS],
                        parameters=[
                            {"exact_sync": True},  # the stamps are equal to the nanosecond
                            {"use_sim_time": LaunchConfiguration("use_sim_time")},
                        ],
                    )
                ],
            ),
        ]
    )


def require(context: LaunchContext) -> None:
    """Say what is missing before anything has started: launch would leave that running."""
    for package in ("depth_image_proc", "rclcpp_components"):
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            apt = f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-{package.replace('_', '-')}"
            raise RuntimeError(
                f"{package} is not installed; `sudo apt install {apt}` brings it"
            ) from None
