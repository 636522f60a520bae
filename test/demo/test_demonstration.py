# SPDX-License-Identifier: Apache-2.0
"""`mtinet demo` shows what the model at hand answers, whatever that is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tiny_model import tiny_card, write_tiny_model

pytest.importorskip("rclpy")
coordinator = pytest.importorskip("domain_coordinator")

pytestmark = pytest.mark.ros


def test_a_model_without_depth_is_shown_without(tmp_path: Path) -> None:
    card = replace(tiny_card(), tasks=("semseg", "normals"), depth_range=None, focal_length=None)
    model = write_tiny_model(tmp_path / "flat.onnx", card, outputs=("labels", "normals"))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "picture.png"), picture)
    with coordinator.domain_id() as domain:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "mtinet_ros.cli.main", "demo", "--model", str(model)),
                *("--source", str(tmp_path / "picture.png"), "--frames", "2"),
                *("-o", str(tmp_path / "out")),
            ],
            env={
                **os.environ,
                "ROS_DOMAIN_ID": str(domain),
                "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "/perception/camera/normals/color" in ended.stdout
    assert "/camera/depth/" not in ended.stdout
    assert len(list((tmp_path / "out").glob("*.png"))) >= 2
