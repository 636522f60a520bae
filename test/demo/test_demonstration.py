# SPDX-License-Identifier: Apache-2.0
"""`mtinet demo` shows what the model at hand answers, whatever that is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tiny_model import tiny_card, write_tiny_model

pytest.importorskip("rclpy")
coordinator = pytest.importorskip("domain_coordinator")

pytestmark = pytest.mark.ros


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with coordinator.domain_id() as domain:
        local = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        yield {**os.environ, **local}


def test_a_signal_while_it_starts_is_its_regular_end(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """rclpy's own handlers shut down what the player was about to use: it ended in a traceback."""
    code = (
        "import os, signal, sys, time; from mtinet_ros.cli import main\n"
        "from mtinet_ros.demo import player\n"
        "make = player.CameraPlayer.__init__\n"
        "def signalled(*arguments):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.2)\n"
        "    make(*arguments)\n"
        "player.CameraPlayer.__init__ = signalled\n"
        "sys.exit(main.main(sys.argv[1:]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "demo", "-o", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    for word in ("Traceback", "error", "Montages"):
        assert word not in said


def test_a_model_without_depth_is_shown_without(
    environment: dict[str, str], tmp_path: Path
) -> None:
    card = replace(tiny_card(), tasks=("semseg", "normals"), depth_range=None, focal_length=None)
    model = write_tiny_model(tmp_path / "flat.onnx", card, outputs=("labels", "normals"))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "picture.png"), picture)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "mtinet_ros.cli.main", "demo", "--model", str(model)),
            *("--source", str(tmp_path / "picture.png"), "--frames", "2"),
            *("-o", str(tmp_path / "out")),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "/perception/camera/normals/color" in ended.stdout
    assert "/camera/depth/" not in ended.stdout
    assert len(list((tmp_path / "out").glob("*.png"))) >= 2
