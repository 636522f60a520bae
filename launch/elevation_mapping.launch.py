# SPDX-License-Identifier: Apache-2.0
"""A map of heights around the robot by elevation_mapping_cupy, with classes where it takes them.

See docs/pipelines.md, which says which of its versions does.
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

HERE = Path(__file__).resolve().parent
PIPELINES = HERE.parent / "config" / "pipelines"

MAP_PACKAGE = "elevation_mapping_cupy"
# What its versions call the node. Where both are there, the latter takes simulated time only.
EXECUTABLES = ("elevation_mapping_node", "elevation_mapping_node.py")

ARGUMENTS = [
    DeclareLaunchArgument(
        "semantic",
        default_value="false",
        choices=["true", "false"],
        description="A layer for each of some classes, too",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=[
            f"{PIPELINES}/elevation_mapping",
            PythonExpression(
                ["'_semantic' * ('true' == '", LaunchConfiguration("semantic"), "')"]
            ),
            ".yaml",
        ],
        description="YAML file with the parameters of perception and of the map; of "
        "config/pipelines unless given, with _semantic in its name with semantic:=true",
    ),
]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=require),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(HERE / "perception.launch.py")),
                launch_arguments={"params_file": LaunchConfiguration("params_file")}.items(),
            ),
            OpaqueFunction(function=start_map),  # behind what may refuse the params_file
        ]
    )


def require(context: LaunchContext) -> None:
    """Say what is missing before anything has started: launch would leave that running."""
    executable_in(prefix_of_map())


def start_map(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    prefix = prefix_of_map()
    core = prefix / "share" / MAP_PACKAGE / "config" / "core" / "core_param.yaml"
    given = context.launch_configurations
    elevation_map = Node(
        package=MAP_PACKAGE,
        executable=executable_in(prefix),
        name="elevation_mapping_node",
        parameters=[
            ParameterFile(str(core), allow_substs=True),  # it finds files of its package
            given["params_file"],
            {"use_sim_time": given.get("use_sim_time") == "true"},
        ],
        output="screen",
    )
    return [elevation_map]


def prefix_of_map() -> Path:
    try:
        return Path(get_package_prefix(MAP_PACKAGE))
    except PackageNotFoundError:
        raise RuntimeError(
            f"{MAP_PACKAGE} is not installed; it has to be built in a workspace, see "
            "docs/pipelines.md"
        ) from None


def executable_in(prefix: Path) -> str:
    folder = prefix / "lib" / MAP_PACKAGE
    for name in EXECUTABLES:
        if (folder / name).exists():
            return name
    raise RuntimeError(f"{folder} has none of {', '.join(EXECUTABLES)}; see docs/pipelines.md")
