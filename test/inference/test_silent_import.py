# SPDX-License-Identifier: Apache-2.0
"""How a robot uses its runtimes is nobody's business: loading them tells nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino_telemetry")

# As the node does; who asks for an address wants to send something.
PROGRAM = """
import socket, sys
asked = []
socket.getaddrinfo = lambda host, *_, **__: asked.append(host) or []
from mtinet_ros.inference import selection
from mtinet_ros.inference.cpu_precision import cpu_capabilities
for backend in ("openvino", "onnxruntime"):
    selection.check_available(backend, 0)
print("FP32" in cpu_capabilities(), "openvino_telemetry" in sys.modules, asked)
"""


def test_nothing_is_reported_by_loading_the_runtimes(tmp_path: Path) -> None:
    # With the first two telemetry stays silent by itself.
    unset = {"CI", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines()[-1] == "True False []"
    # Both would keep an id of the machine there before they send anything.
    assert [path.name for path in tmp_path.iterdir()] == []
