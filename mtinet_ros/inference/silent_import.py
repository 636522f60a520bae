# SPDX-License-Identifier: Apache-2.0
"""Runtimes without what reports their use: OpenVINO's; ONNX Runtime's is off in `mtinet_ros`."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def import_silently(name: str) -> Any:
    """Import a module; OpenVINO reports nothing by it.

    The import of its newer versions sends an event to Google Analytics, unless the user has run
    `opt_in_out --opt_out`. Without the package that does so OpenVINO takes a stub of its own.

    Args:
        name: Name of the module.

    Raises:
        ImportError: It is not installed, or does not load.
    """
    hidden = _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # importing it fails
    try:
        return importlib.import_module(name)
    finally:
        if hidden:
            sys.modules.pop(_TELEMETRY, None)
