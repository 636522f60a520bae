# SPDX-License-Identifier: Apache-2.0
"""Without `ros2`, the node is started by what the quick start has one paste into Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from support.node_harness import ROOT, NodeProcess, Robot

pytestmark = pytest.mark.ros


def test_what_the_quick_start_pastes_activates_the_node_and_prints_true_twice(
    robot: Robot, tiny_model: Path
) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text()
    (pasted,) = re.findall(r"it prints `True` twice:\n\n```python\n(.*?)```", page, re.DOTALL)
    with NodeProcess(f"model:={tiny_model}", "backend:=onnxruntime"):
        shell = subprocess.run(
            [sys.executable, "-i"], input=pasted + "\n", capture_output=True, text=True, timeout=60
        )  # "with an empty line behind it"
        assert shell.stdout.split() == ["True", "True"], shell.stderr
        assert robot.state() == "active"
