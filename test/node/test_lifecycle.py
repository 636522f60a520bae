# SPDX-License-Identifier: Apache-2.0
"""The lifecycle, driven from another process: every transition, its failures, no left-overs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from node.test_perception_node import CAMERA, OUT, picture, started
from onnx import TensorProto
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from support.node_harness import ROOT, NodeProcess, Robot
from support.tiny_model import write_tiny_model

pytestmark = pytest.mark.ros


def topics(robot: Robot) -> set[str]:
    return {name for name, _ in robot.get_topic_names_and_types() if name.startswith(OUT)}


def test_every_transition_and_what_exists_in_each_state(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    with NodeProcess(f"model:={tiny_model}", "backend:=onnxruntime") as node:
        assert robot.state() == "unconfigured"
        assert not robot.change_state("activate"), "unconfigured nodes cannot be activated"
        assert robot.change_state("configure")
        assert robot.state() == "inactive"
        assert robot.spin_until(lambda: OUT + "normals/image" in topics(robot), 5.0)
        assert not robot.get_subscriptions_info_by_topic("/camera/image_raw")
        assert robot.change_state("activate")
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        working_threads = node.thread_count()
        assert robot.change_state("deactivate")
        assert robot.spin_until(
            lambda: not robot.get_subscriptions_info_by_topic("/camera/image_raw"), 5.0
        )
        assert node.thread_count() < working_threads, "the inference threads outlived deactivation"
        assert robot.change_state("activate")
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        assert robot.change_state("deactivate")
        assert robot.change_state("cleanup")
        assert robot.state() == "unconfigured"
        assert robot.spin_until(lambda: OUT + "normals/image" not in topics(robot), 5.0)
        assert robot.change_state("shutdown")
        assert node.wait(5.0) == 0, node.text()
        assert "Traceback" not in node.text()


def test_a_failed_configuration_is_explained_and_can_be_repeated(
    robot: Robot, tiny_model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny_model.read_bytes()[:-100])
    no_card = write_tiny_model(tmp_path / "no_card.onnx", card_json=" ")
    newer = write_tiny_model(tmp_path / "newer.onnx", card_json='{"schema_version": "9.0"}')
    text = tmp_path / "text.onnx"
    text.write_text("this is not a model")
    with NodeProcess("backend:=onnxruntime", "model:=/does/not/exist.onnx") as node:
        for model, sentence in (
            ("/does/not/exist.onnx", "cannot read model /does/not/exist.onnx"),
            (str(broken), "cut short"),
            (str(text), "not an ONNX file"),
            (str(no_card), "not valid JSON"),
            (str(newer), "schema version 9.0"),
        ):
            assert robot.set_parameter("model", model) == (True, "")
            assert not robot.change_state("configure")
            assert robot.state() == "unconfigured"
            assert node.says(sentence)
        assert robot.set_parameter("model", str(tiny_model)) == (True, "")
        assert robot.change_state("configure")
        assert "Traceback" not in node.text()


def test_a_model_that_cannot_run_deactivates_the_node_with_the_reason(
    robot: Robot, tmp_path: Path
) -> None:
    wrong = write_tiny_model(tmp_path / "wrong.onnx", labels_type=TensorProto.INT64)
    with NodeProcess(f"model:={wrong}", "backend:=onnxruntime") as node:
        assert robot.change_state("configure")
        robot.change_state("activate")
        assert robot.reports("engine", "state", "failed")
        assert robot.reports("engine", "message", "labels is int64")
        assert robot.spin_until(lambda: robot.state() == "inactive")
        assert node.says("the model cannot run")
        assert robot.change_state("cleanup")


IMAGES = "qos_overrides./camera/image_raw.subscription."
NORMALS = "qos_overrides./perception/camera/normals/color.publisher."


@pytest.mark.parametrize(
    ("override", "transition", "left"),
    [
        (IMAGES + "reliability:=foo", "activate", "inactive"),
        (IMAGES + "reliability:=7", "activate", "inactive"),
        (IMAGES + "durability:=foo", "activate", "inactive"),
        (IMAGES + "depth:=foo", "activate", "inactive"),
        (IMAGES + "history:=foo", "activate", "inactive"),
        (NORMALS + "reliability:=foo", "configure", "unconfigured"),
    ],
)
def test_a_bad_qos_override_is_explained_and_leaves_nothing_behind(
    robot: Robot, tiny_model: Path, override: str, transition: str, left: str
) -> None:
    with NodeProcess(f"model:={tiny_model}", "backend:=onnxruntime", override) as node:
        assert robot.change_state("configure") == (transition != "configure")
        if transition == "activate":
            assert not robot.change_state("activate")
        assert robot.state() == left
        assert node.says(override.partition(".subscription")[0].partition(".publisher")[0])
        assert "Traceback" not in node.text()
        assert not robot.get_subscriptions_info_by_topic("/camera/camera_info")
        if left == "unconfigured":
            assert robot.spin_until(lambda: not topics(robot), 5.0), "half of it is advertised"


def test_a_qos_override_concerns_its_own_topic_alone(robot: Robot, tiny_model: Path) -> None:
    override = f"qos_overrides.{OUT}depth/image.publisher.reliability:=best_effort"
    with NodeProcess(f"model:={tiny_model}", "backend:=onnxruntime", override):
        assert robot.change_state("configure")

        def offered(topic: str) -> list[ReliabilityPolicy]:
            publishers = robot.get_publishers_info_by_topic(OUT + topic)
            return [publisher.qos_profile.reliability for publisher in publishers]

        assert robot.spin_until(lambda: bool(offered("normals/color")), 5.0)
        assert offered("depth/image") == [ReliabilityPolicy.BEST_EFFORT]
        for topic in ("segmentation/image", "depth/camera_info", "normals/color"):
            assert offered(topic) == [ReliabilityPolicy.RELIABLE]


def test_build_only_ends_with_the_result(
    ros_domain: int, tiny_model: Path, tmp_path: Path
) -> None:
    wrong = write_tiny_model(tmp_path / "wrong.onnx", labels_type=TensorProto.INT64)
    for model, status in ((tiny_model, 0), (wrong, 1), (tmp_path / "none.onnx", 1)):
        with NodeProcess(f"model:={model}", "backend:=onnxruntime", "build_only:=true") as node:
            assert node.wait(60.0) == status, node.text()
            assert "Traceback" not in node.text()


def test_a_missing_backend_is_refused_with_the_command_that_brings_it(
    robot: Robot, tiny_model: Path
) -> None:
    with NodeProcess(f"model:={tiny_model}", "backend:=tensorflow") as node:
        assert node.wait(60.0) == 1
        assert "choose from auto, " in node.text()
        assert "Traceback" not in node.text()


@pytest.mark.slow
def test_a_hundred_rounds_leave_nothing_behind(robot: Robot, tiny_model: Path) -> None:
    with NodeProcess(f"model:={tiny_model}", "backend:=onnxruntime") as node:

        def rounds(count: int) -> int:
            for _ in range(count):
                for name in ("configure", "activate", "deactivate", "cleanup"):
                    assert robot.change_state(name), node.text()
            return node.resident_kib()

        warm, threads = rounds(30), node.thread_count()
        after = rounds(70)
        assert node.thread_count() <= threads
        # The allocator's noise is below 4 MiB; a leaked session would be 70 times half a MiB.
        assert after - warm < 12 * 1024, f"{after - warm} KiB more after 70 rounds"


def test_parameters_are_refused_at_start_with_a_sentence(
    tiny_model: Path, ros_domain: int
) -> None:
    for parameter, sentence in (
        ("camera.max_rate:=-1.0", "from 0 to 1000"),
        ("camera.max_rate:=fast", "camera.max_rate: 'fast' is of the wrong type; float is needed"),
        ("output_size:=huge", "choose from network, camera"),
        ('cameras:=["front left"]', "cannot be part of a topic name"),
        ("max_batch:=0", "from 1 to 64"),
        ("use_sim_time:=5", "expecting type 'BOOL'"),
    ):
        with NodeProcess(f"model:={tiny_model}", parameter) as node:
            assert node.wait(60.0) == 1, parameter
            assert sentence in node.text(), node.text()
            assert "Traceback" not in node.text()


def test_an_integer_is_understood_where_a_number_with_a_point_is_meant(
    robot: Robot, tiny_model: Path
) -> None:
    with started(robot, tiny_model, "camera.max_rate:=10"):
        assert robot.state() == "active"


def test_parameters_that_cannot_change_now_are_refused_with_what_to_do(
    robot: Robot, tiny_model: Path
) -> None:
    with started(robot, tiny_model):
        ok, reason = robot.set_parameter("model", "other.onnx")
        assert not ok
        assert "clean it up first" in reason
        ok, reason = robot.set_parameter("output_size", "huge")
        assert not ok
        assert "choose from network, camera" in reason
        ok, reason = robot.set_parameter("cameras", ["front"])
        assert not ok
        assert robot.set_parameter("camera.max_rate", 5.0) == (True, "")
        assert robot.set_parameter("camera.max_rate", 5) == (True, ""), "5 is meant as 5.0"
        # `ros2 param set … rectify off` sends what YAML makes of it.
        assert robot.set_parameter("camera.rectify", False) == (True, "")
        assert not robot.set_parameter("camera.rectify", True)[0]
        ok, reason = robot.set_parameter("camera.max_rate", -5)
        assert not ok
        assert "Min: 0.0, Max: 1000.0" in reason


@pytest.mark.parametrize("worker_ends", [True, False])
def test_a_defect_ends_the_process_with_a_traceback_and_status_1(
    ros_domain: int, worker_ends: bool
) -> None:
    code = (
        "import sys; from mtinet_ros.node import perception_node as p, process;"
        "p.PerceptionNode._report = lambda self: 1 / 0;"
        f"p.PerceptionNode.close = lambda self: {worker_ends};"
        "sys.exit(process.run(['node']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr
