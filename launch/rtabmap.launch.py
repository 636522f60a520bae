# SPDX-License-Identifier: Apache-2.0
"""RTAB-Map on a picture and its predicted depth, as if they came from an RGB-D camera.

Give it the robot's odometry (`visual_odometry:=false`, `odom_frame_id`) where there is one. See
docs/pipelines.md.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"

# Of rtabmap_launch/rtabmap.launch.py; the rest of its arguments can be given on the command line.
RTABMAP_ARGUMENTS = {
    "rgb_topic": "/perception/{camera}/rgb/image",
    "depth_topic": "/perception/{camera}/depth/image",
    "camera_info_topic": "/perception/{camera}/rgb/camera_info",
    "approx_sync": "false",  # the stamps are equal to the nanosecond
    "qos": "1",  # reliable, as they are published
}


def of_camera(text: str) -> list[SomeSubstitutionsType]:
    before, is_there, after = text.partition("{camera}")
    return [before, LaunchConfiguration("camera"), after] if is_there else [text]


def generate_launch_description() -> LaunchDescription:
    rtabmap = PathJoinSubstitution(
        [FindPackageShare("rtabmap_launch"), "launch", "rtabmap.launch.py"]
    )
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
            # Both files have arguments of the same names, with other defaults (namespace, rviz).
            GroupAction(
                [
                    IncludeLaunchDescription(
                        PythonLaunchDescriptionSource(str(HERE / "perception.launch.py")),
                        launch_arguments={
                            "params_file": LaunchConfiguration("params_file")
                        }.items(),
                    )
                ]
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(rtabmap),
                launch_arguments=[
                    (name, of_camera(value)) for name, value in RTABMAP_ARGUMENTS.items()
                ],
            ),
        ]
    )


def require(context: LaunchContext) -> None:
    """Say what is missing before anything has started: launch would leave that running."""
    for package in ("rtabmap_launch",):
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            apt = f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-{package.replace('_', '-')}"
            raise RuntimeError(
                f"{package} is not installed; `sudo apt install {apt}` brings it"
            ) from None
