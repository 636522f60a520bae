# SPDX-License-Identifier: Apache-2.0
"""Starts the perception node, brings it to work, and shows its outputs in rviz on request.

All arguments: `ros2 launch mtinet_ros perception.launch.py --show-args`
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.logging import get_logger
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

CONFIG = Path(__file__).resolve().parents[1] / "config"

ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "perception.yaml"),
        description="YAML file with the parameters of the node and of each camera",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Path of an ONNX model made by `mtinet export`, or the name of a bundled one; "
        "empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "auto", "tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"],
        description="What runs the model; auto: the fastest that can run here; empty: as in "
        "params_file",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of the cameras, separated by commas, e.g. front,rear; each may have a "
        "block of its own in params_file; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "namespace",
        default_value="",
        description="Namespace of the node; relative topics of cameras are in it too",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=["true", "false"],
        description="Configure and activate the node; false: leave that to `ros2 lifecycle` or to "
        "a lifecycle manager",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severe messages to show",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["true", "false"],
        description="Show the outputs of the camera named `camera` in rviz",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Take the time from /clock (simulation, bag); false: as in params_file",
    ),
]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [*ARGUMENTS, OpaqueFunction(function=use_profile), OpaqueFunction(function=start)]
    )


def use_profile(context: LaunchContext) -> None:
    """Let what is launched from here on exchange large images."""
    try:
        from mtinet_ros.errors import ConfigurationError
        from mtinet_ros.node.transport_profile import ensure_transport_profile
    except ImportError:
        return  # `ros2` runs in another Python than the node, which looks after itself
    try:
        ensure_transport_profile(os.environ)
    except ConfigurationError as error:
        get_logger("perception.launch").warning(str(error))


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    params_file = Path(given["params_file"]).expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"params_file: there is no file {params_file}")
    overrides = {name: given[name] for name in ("model", "backend") if given[name]}
    if given["cameras"]:
        overrides["cameras"] = [name.strip() for name in given["cameras"].split(",")]
    sim_time = {"use_sim_time": True} if given["use_sim_time"] == "true" else {}
    autostart = given["autostart"] == "true"
    answered: list[bool] = []  # filled once the node has answered all that autostart asks of it
    perception = LifecycleNode(
        package="mtinet_ros",
        executable="perception_node",
        name="perception",
        namespace=given["namespace"],
        parameters=[str(params_file), {**overrides, **sim_time}],
        ros_arguments=["--log-level", given["log_level"]],
        output="screen",
        on_exit=lambda event, context: end_launch(context) if autostart and not answered else [],
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],
        arguments=["-d", str(CONFIG / "perception.rviz")],
        parameters=[sim_time],
    )
    return [
        *([rviz] if given["rviz"] == "true" else []),
        *(bring_up(perception, answered) if autostart else []),
        perception,
    ]


def end_launch(context: LaunchContext) -> list[Shutdown]:
    """End with a node that did not come up: launch would wait for its services for ever.

    One that ends later takes nothing with it: a whole robot may be in the same launch. After
    Ctrl-C launch is ending already, and a second shutdown would be an error.
    """
    return [] if context.is_shutdown else [Shutdown(reason="the perception node did not start")]


def bring_up(node: LifecycleNode, answered: list[bool]) -> list[RegisterEventHandler]:
    """Configure the node when its process has started, and activate it once configured.

    When there is no more to ask for, because it is active or refused, `answered` gets an entry.
    """
    note = OpaqueFunction(function=lambda context: answered.append(True))

    def ask_for(transition: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(
                lifecycle_node_matcher=matches_action(node), transition_id=transition
            )
        )

    # `configuring` as the start state: a node that somebody deactivates stays inactive.
    return [
        RegisterEventHandler(
            OnProcessStart(target_action=node, on_start=[ask_for(Transition.TRANSITION_CONFIGURE)])
        ),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node,
                start_state="configuring",
                goal_state="inactive",
                entities=[ask_for(Transition.TRANSITION_ACTIVATE)],
            )
        ),
        *(
            RegisterEventHandler(
                OnStateTransition(target_lifecycle_node=node, entities=[note], **transition)
            )
            for transition in (
                {"start_state": "configuring", "goal_state": "unconfigured"},
                {"start_state": "activating"},
            )
        ),
    ]
