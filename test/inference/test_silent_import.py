# SPDX-License-Identifier: Apache-2.0
"""A robot's use of OpenVINO is nobody's business: its import sends nothing to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")
pytest.importorskip("openvino_telemetry")

PROGRAM = """
import socket
import sys
from mtinet_ros.inference.cpu_precision import cpu_capabilities
asked = []
socket.getaddrinfo = lambda host, *_, **__: asked.append(host) or []
print("FP32" in cpu_capabilities(), "openvino_telemetry" in sys.modules, asked)
"""


def test_nothing_is_reported_by_the_import(tmp_path: Path) -> None:
    unsaid = {"CI", "TF_BUILD", "JENKINS_URL"}  # with which the telemetry stays silent by itself
    environ = {name: value for name, value in os.environ.items() if name not in unsaid}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n")[0] == "True False []"
    # It counts its uses and keeps an id there, before anything is sent.
    assert not (tmp_path / "intel").exists()
