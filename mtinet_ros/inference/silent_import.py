# SPDX-License-Identifier: Apache-2.0
"""OpenVINO, imported without what reports its use."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """The module `openvino`; a robot reports nothing by it.

    The import of newer versions sends an event to Google Analytics, unless the user has run
    `opt_in_out --opt_out`. Without the package that does so OpenVINO takes a stub of its own.

    Raises:
        ImportError: OpenVINO is not installed, or does not load.
    """
    hidden = _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # importing it fails
    try:
        return importlib.import_module("openvino")
    finally:
        if hidden:
            sys.modules.pop(_TELEMETRY, None)
