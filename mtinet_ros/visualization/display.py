# SPDX-License-Identifier: Apache-2.0
"""Whether there is something to show a window on."""

from __future__ import annotations

import os
from collections.abc import Mapping


def has_display(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a window could be opened."""
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
