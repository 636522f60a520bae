# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch mtinet_ros perception.launch.py` starts the node as it was asked to."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtinet_ros.inference import BACKEND_CHOICES
from mtinet_ros.node.settings import CAMERA_PARAMETERS, NODE_PARAMETERS, make_settings

ROOT = Path(__file__).parents[2]
LAUNCH_FILE = ROOT / "launch" / "perception.launch.py"

# Beside this Python, or wherever a sourced workspace has it.
ROS2 = shutil.which("ros2", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
needs_launch = pytest.mark.skipif(ROS2 is None, reason="needs ros2cli and launch_ros")

# Says what it was started with and which states it reaches; the real node is tested elsewhere.
STAND_IN = """
import os, sys, threading, rclpy
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

class StandIn(LifecycleNode):
    def __init__(self):
        super().__init__("x", automatically_declare_parameters_from_overrides=True)
        for name in ("cameras", "backend", "front.max_rate", "use_sim_time"):
            print(name, "=", self.get_parameter_or(name).value, flush=True)
        print("profile =", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE"), flush=True)
        print("name =", self.get_namespace(), self.get_name(), flush=True)
        self.get_logger().debug("a debug message")
        if "refuse" in os.environ.get("STAND_IN", ""):
            sys.exit(1)
    def on_configure(self, state):
        print("configured", flush=True)
        name = "FAILURE" if os.environ.get("STAND_IN") == "FAILURE" else "SUCCESS"
        return getattr(TransitionCallbackReturn, name)
    def on_activate(self, state):
        print("active", flush=True)
        if os.environ.get("STAND_IN") == "die":
            threading.Timer(1.0, os._exit, [3]).start()
        return super().on_activate(state)

rclpy.init(args=sys.argv)
try:
    rclpy.spin(StandIn())
except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
    pass
"""


def declared_arguments() -> dict[str, dict[str, Any]]:
    """Read the arguments without importing `launch`."""
    calls = [
        node
        for node in ast.walk(ast.parse(LAUNCH_FILE.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "DeclareLaunchArgument"
    ]
    return {
        ast.literal_eval(call.args[0]): {
            str(k.arg): ast.literal_eval(k.value)
            for k in call.keywords
            if k.arg in ("choices", "description")
        }
        for call in calls
    }


def test_file_compiles_and_declares_every_promised_argument() -> None:
    compile(LAUNCH_FILE.read_text(), str(LAUNCH_FILE), "exec")
    arguments = declared_arguments()
    assert set(arguments) == {
        *("model", "backend", "cameras", "params_file", "namespace"),
        *("autostart", "log_level", "rviz", "use_sim_time"),
    }
    assert all(argument.get("description") for argument in arguments.values())


def test_every_backend_of_the_node_is_on_offer() -> None:
    assert {"", *BACKEND_CHOICES} == set(declared_arguments()["backend"]["choices"])


def test_params_file_sets_every_parameter_to_a_value_the_node_takes() -> None:
    document = yaml.safe_load((ROOT / "config" / "perception.yaml").read_text())
    parameters = document["/**/perception"]["ros__parameters"]
    values = {name: parameters[name] for name in NODE_PARAMETERS}
    values |= {f"camera.{name}": parameters["camera"][name] for name in CAMERA_PARAMETERS}
    settings = make_settings(values)
    assert set(parameters) == {*NODE_PARAMETERS, "camera"}
    assert set(parameters["camera"]) == set(CAMERA_PARAMETERS)
    assert settings.cameras[0].image_topic == "camera/image_raw"


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which a stand-in is installed as the node, in a domain of its own."""
    domain_coordinator = pytest.importorskip("domain_coordinator")
    share = tmp_path / "share" / "mtinet_ros"
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    executables = tmp_path / "lib" / "mtinet_ros"
    for folder in (share / "launch", index, executables):
        folder.mkdir(parents=True)
    (index / "mtinet_ros").touch()
    shutil.copy(LAUNCH_FILE, share / "launch")
    shutil.copytree(ROOT / "config", share / "config")
    executable = executables / "perception_node"
    executable.write_text(f"#!{sys.executable}\n{STAND_IN}")
    executable.chmod(0o755)
    with domain_coordinator.domain_id() as domain:
        yield {
            **os.environ,
            "PYTHONPATH": before("PYTHONPATH", ROOT),
            "AMENT_PREFIX_PATH": before("AMENT_PREFIX_PATH", tmp_path, Path(sys.prefix)),
            "ROS_DISTRO": "jazzy",
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_HOME": str(tmp_path / "ros"),
        }


def before(variable: str, *folders: Path) -> str:
    """A search path of ours, followed by that of the environment (a sourced workspace's)."""
    return os.pathsep.join(filter(None, [*map(str, folders), os.environ.get(variable, "")]))


@contextmanager
def launched(
    environ: dict[str, str],
    *arguments: str,
    file: tuple[str, ...] = ("mtinet_ros", LAUNCH_FILE.name),
) -> Iterator[Callable[..., str]]:
    """Run the launch file; gives a function that waits for a text in its output."""
    log = Path(environ["ROS_HOME"]).with_suffix(".log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(ROS2), "launch", *file, *arguments],
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output_with(text: str, timeout: float = 30.0, ended: bool = False) -> str:
        deadline = time.monotonic() + timeout
        while text not in log.read_text() or (ended and process.poll() is None):
            assert time.monotonic() < deadline, f"no {text!r} in\n{log.read_text()}"
            time.sleep(0.05)
        return log.read_text()

    try:
        yield output_with
    finally:
        runs = process.poll() is None
        if runs:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C: launch and the node
        try:
            status = process.wait(timeout=30)
        finally:
            process.kill()
    assert not runs or status == 0, f"Ctrl-C ended launch with {status}:\n{log.read_text()}"


@needs_launch
def test_node_is_active_with_the_parameters_of_its_file(environ: dict[str, str]) -> None:
    with launched(environ) as output_with:
        output = output_with("] active")
    for line in ("cameras = ['camera']", "backend = auto", "use_sim_time = False"):
        assert line in output
    assert "name = / perception" in output
    assert f"profile = {ROOT}/config/fastdds_profile.xml" in output
    assert "debug message" not in output


@needs_launch
def test_arguments_win_over_the_file(environ: dict[str, str], tmp_path: Path) -> None:
    params_file = tmp_path / "mine.yaml"
    params_file.write_text(
        "/**:\n  ros__parameters: {backend: openvino, front: {max_rate: 7.5}}\n"
    )
    with launched(
        environ,
        *(f"params_file:={params_file}", "cameras:=front, rear", "namespace:=robot"),
        *("backend:=onnxruntime", "use_sim_time:=true", "log_level:=debug", "autostart:=false"),
    ) as output_with:
        output = output_with("a debug message")
    for line in ("cameras = ['front', 'rear']", "backend = onnxruntime", "use_sim_time = True"):
        assert line in output
    assert "front.max_rate = 7.5" in output
    assert "name = /robot perception" in output


@needs_launch
def test_without_autostart_the_node_waits(environ: dict[str, str]) -> None:
    with launched(environ, "autostart:=false") as output_with:
        output_with("name = / perception")
        time.sleep(5)
        assert "configured" not in output_with("")


@needs_launch
@pytest.mark.parametrize(
    ("stand_in", "said"),
    [
        ("FAILURE", "Failed to make transition 'TRANSITION_CONFIGURE'"),
        ("refuse", "process has died"),
    ],
)
def test_a_node_that_cannot_start_is_reported(
    environ: dict[str, str], stand_in: str, said: str
) -> None:
    environ["STAND_IN"] = stand_in
    with launched(environ) as output_with:
        output = output_with(said, ended=stand_in == "refuse")
    assert "] active" not in output


@needs_launch
@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("backend:=cuda", 'Argument "backend" provided value "cuda" is not valid'),
        ("params_file:=/nowhere.yaml", "params_file: there is no file /nowhere.yaml"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_sentence(
    environ: dict[str, str], argument: str, said: str
) -> None:
    with launched(environ, argument) as output_with:
        output = output_with(said, ended=True)
    assert "Traceback" not in output


ROBOT = """
from launch import LaunchDescription
from launch.actions import ExecuteProcess, IncludeLaunchDescription

def generate_launch_description():
    driver = ["sh", "-c", "trap 'echo driver told to end; exit' INT; "
              "i=0; while true; do i=$((i + 1)); echo driver beat $i; sleep 1; done"]
    return LaunchDescription([
        IncludeLaunchDescription("{file}"), ExecuteProcess(cmd=driver, output="screen"),
    ])
"""


@needs_launch
def test_a_node_that_ends_later_leaves_the_rest_of_the_robot_alone(
    environ: dict[str, str], tmp_path: Path
) -> None:
    environ["STAND_IN"] = "die"
    robot = tmp_path / "robot.launch.py"
    robot.write_text(ROBOT.replace("{file}", str(LAUNCH_FILE)))
    with launched(environ, file=(str(robot),)) as output_with:
        output = output_with("process has died")
        beats = output.count("driver beat")
        output = output_with(f"driver beat {beats + 3}")
    assert "] active" in output
    assert "driver told to end" not in output


@needs_launch
def test_launch_ends_when_a_node_that_is_alone_in_it_ends(environ: dict[str, str]) -> None:
    environ["STAND_IN"] = "die"
    with launched(environ) as output_with:
        output_with("process has died", ended=True)
