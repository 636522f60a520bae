# SPDX-License-Identifier: Apache-2.0
"""A camera's driver beside the perception node, with images above half a megabyte getting through.

The driver is a component: load what else works on its images (image_proc) into the same container,
`/<camera>/container`. See docs/pipelines.md.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode

HERE = Path(__file__).resolve().parent

# Component, parameters, and the topics that are remapped to image_raw and camera_info beside it.
DRIVERS = {
    "v4l2_camera": {
        "plugin": "v4l2_camera::V4L2Camera",
        "parameters": {
            "video_device": "{device}",
            "camera_frame_id": "{camera}_optical_frame",
            "camera_info_url": "{camera_info_url}",
            "image_size": [640, 480],
            "output_encoding": "rgb8",
        },
        "topics": {},
    },
    "usb_cam": {
        "plugin": "usb_cam::UsbCamNode",
        "parameters": {
            "video_device": "{device}",
            "frame_id": "{camera}_optical_frame",
            "camera_name": "{camera}",
            "camera_info_url": "{camera_info_url}",
            "image_width": 640,
            "image_height": 480,
            "pixel_format": "mjpeg2rgb",
        },
        "topics": {},
    },
    "realsense2_camera": {
        "plugin": "realsense2_camera::RealSenseNodeFactory",
        "parameters": {
            "camera_name": "{camera}",
            "enable_color": True,
            "enable_depth": False,
        },
        "topics": {
            "~/color/image_raw": "image_raw",
            "~/color/camera_info": "camera_info",
        },
    },
}

ARGUMENTS = [
    DeclareLaunchArgument(
        "driver",
        default_value="v4l2_camera",
        choices=list(DRIVERS),
        description="Package of the camera's driver, which has to be installed",
    ),
    DeclareLaunchArgument("camera", default_value="camera", description="Name of the camera"),
    DeclareLaunchArgument(
        "device", default_value="/dev/video0", description="Device, for v4l2_camera and usb_cam"
    ),
    DeclareLaunchArgument(
        "camera_info_url",
        default_value="",
        description="Calibration, e.g. file:///home/me/camera.yaml; without one depth is up to "
        "scale",
    ),
]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=require),
            OpaqueFunction(function=use_profile),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(HERE / "perception.launch.py")),
                launch_arguments={"cameras": LaunchConfiguration("camera")}.items(),
            ),
            OpaqueFunction(function=start_driver),  # behind what may refuse the params_file
        ]
    )


def require(context: LaunchContext) -> None:
    """Say what is missing before anything has started: launch would leave that running."""
    for package in (context.launch_configurations["driver"], "rclcpp_components"):
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            apt = f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-{package.replace('_', '-')}"
            raise RuntimeError(
                f"{package} is not installed; `sudo apt install {apt}` brings it"
            ) from None


def use_profile(context: LaunchContext) -> None:
    """Let the driver, too, exchange large images."""
    try:
        from mtinet_ros.errors import ConfigurationError
        from mtinet_ros.node.transport_profile import ensure_transport_profile
    except ImportError:
        get_logger("camera.launch").warning(
            "mtinet_ros cannot be imported by this Python, so the driver has no transport profile "
            "and images may be lost; see docs/transport.md"
        )
        return
    try:
        ensure_transport_profile(os.environ)
    except ConfigurationError as error:
        get_logger("camera.launch").warning(str(error))


def start_driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    name, driver = given["camera"], DRIVERS[given["driver"]]
    parameters = {
        key: value.format(**given) if isinstance(value, str) else value
        for key, value in driver["parameters"].items()
    }
    container = ComposableNodeContainer(
        package="rclcpp_components",
        executable="component_container",
        name="container",
        namespace=name,
        output="screen",
        composable_node_descriptions=[
            ComposableNode(
                package=given["driver"],
                plugin=driver["plugin"],
                name="driver",
                namespace=name,
                parameters=[parameters],
                remappings=list(driver["topics"].items()),
                extra_arguments=[{"use_intra_process_comms": True}],
            )
        ],
    )
    return [container]
