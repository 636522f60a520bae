# SPDX-License-Identifier: Apache-2.0
"""The node with TensorRT: real engine builds, on the double of a GPU in the node's own process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tensorrt_rtx")

from node.test_perception_node import CAMERA, OUT, picture, pixels
from sensor_msgs.msg import Image
from support.kernel_on_cpu import needs_compiler
from support.node_harness import ROOT, NodeProcess, Robot
from support.tiny_model import write_tiny_model

pytestmark = pytest.mark.ros
DEPTH = OUT + "depth/image"
OVERLAY = OUT + "segmentation/overlay"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model without an engine yet; node processes started from now on have a doubled GPU."""
    paths = [
        str(tmp_path),
        str(ROOT / "test" / "support" / "doubles"),
        os.environ.get("PYTHONPATH", ""),
    ]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "m.onnx")


AT_LOAD = 2 * 3  # downloads while loading: of each output of one camera, on each set of memory


def fail_in_node(folder: Path, call: str, kind: str, nth: int, lose: bool = False) -> None:
    """Let the nth call of a driver's function fail in node processes started from now on."""
    (folder / "sitecustomize.py").write_text(
        f"from cuda_machine import machine\nmachine.fail({call!r}, {kind!r}, {nth}, {lose})\n"
    )


def builder_of(node: NodeProcess) -> int:
    """Wait for the node's builder process; returns its id."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_text(errors="replace")  # anybody's
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if "engine_builder" in command and parent == node.process.pid:
                return int(path.name)
        time.sleep(0.01)
    raise AssertionError(f"no builder was started: {node.text()}")


def test_the_node_builds_with_progress_while_services_answer_and_then_sees(
    robot: Robot, model: Path, tmp_path: Path
) -> None:
    robot.subscribe(DEPTH, Image)
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        builder = builder_of(node)
        os.kill(builder, signal.SIGSTOP)  # a build of many minutes
        assert robot.state() == "active"
        robot.show(picture(), CAMERA)
        os.kill(builder, signal.SIGCONT)
        robot.show_until(DEPTH, lambda: robot.show(picture(), CAMERA))
        assert robot.reports("engine", "backend", "tensorrt")
        assert robot.reports("engine", "device", "cuda:0 NVIDIA GeForce RTX 4070")
        assert node.end(signal.SIGINT)[0] == 0, node.text()
        assert "Traceback" not in node.text()
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        robot.show_until(DEPTH, lambda: robot.show(picture(), CAMERA))
        assert "building m-" not in node.text(), "the engine was there already"


def test_a_builder_that_dies_deactivates_the_node_with_the_reason_and_it_can_try_again(
    robot: Robot, model: Path
) -> None:
    robot.subscribe(DEPTH, Image)
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        os.kill(builder_of(node), signal.SIGKILL)
        assert robot.spin_until(lambda: robot.state() == "inactive")
        assert robot.reports("engine", "message", "builder died of SIGKILL")
        assert robot.change_state("activate")
        robot.show_until(DEPTH, lambda: robot.show(picture(), CAMERA))


def test_deactivating_stops_the_builder(robot: Robot, model: Path) -> None:
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        builder = builder_of(node)
        assert robot.change_state("deactivate")
        assert robot.spin_until(lambda: not Path(f"/proc/{builder}").exists(), 15.0)


def test_a_full_gpu_leaves_the_node_inactive_with_what_to_do(
    robot: Robot, model: Path, tmp_path: Path
) -> None:
    fail_in_node(tmp_path, "cuMemAlloc", "OUT_OF_MEMORY", 2)
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        assert robot.spin_until(lambda: robot.state() == "inactive")
        assert robot.reports("engine", "message", "lower max_batch")
        assert "Traceback" not in node.text()


def test_a_failed_frame_is_said_and_the_next_one_is_answered(
    robot: Robot, model: Path, tmp_path: Path
) -> None:
    fail_in_node(tmp_path, "cuMemcpyDtoHAsync", "UNKNOWN", AT_LOAD + 2)
    robot.subscribe(DEPTH, Image)
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        for _ in range(3):
            robot.show_until(DEPTH, lambda: robot.show(picture(), CAMERA))
        assert node.says("cuMemcpyDtoHAsync failed: unknown")


def test_a_lost_gpu_deactivates_the_node_with_the_reason(
    robot: Robot, model: Path, tmp_path: Path
) -> None:
    fail_in_node(tmp_path, "cuMemcpyDtoHAsync", "LAUNCH_FAILED", AT_LOAD + 2, lose=True)
    robot.subscribe(DEPTH, Image)
    with NodeProcess(f"model:={model}", "backend:=tensorrt") as node:
        robot.start()
        assert robot.reports("engine", "state", "ready")
        shown = 0
        while robot.state() == "active" and shown < 100:
            robot.show(picture(), CAMERA)
            robot.spin_for(0.1)
            shown += 1
        assert robot.state() == "inactive", node.text()
        assert robot.reports("engine", "state", "failed")
        assert node.says("restart the program")
        assert "Traceback" not in node.text()


@needs_compiler
def test_the_gpu_fits_raw_images_and_what_is_published_is_the_same(
    robot: Robot, model: Path
) -> None:
    robot.subscribe(OVERLAY, Image)
    seen = {}
    for fit_on_gpu in ("false", "true"):
        arguments = (f"model:={model}", "backend:=tensorrt", f"fit_on_gpu:={fit_on_gpu}")
        with NodeProcess(*arguments) as node:
            robot.start()
            _, answer = robot.show_until(OVERLAY, lambda: robot.show(picture(150, 200)))
            says = node.says("images in rgb8 of 200x150 pixels are fitted by the GPU", 0.5)
            assert says == (fit_on_gpu == "true"), node.text()
            seen[fit_on_gpu] = pixels(answer).astype(int)
    assert np.abs(seen["true"] - seen["false"]).max() <= 1
    assert seen["true"].std() > 10


def test_build_only_builds_and_ends(ros_domain: int, model: Path, tmp_path: Path) -> None:
    with NodeProcess(f"model:={model}", "backend:=tensorrt", "build_only:=true") as node:
        assert node.wait(60.0) == 0, node.text()
    assert list((tmp_path / "cache" / "mtinet_ros").glob("*.engine"))
