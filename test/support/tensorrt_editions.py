# SPDX-License-Identifier: Apache-2.0
"""Asks for a real edition of TensorRT; its type stubs alone import, too, and are none."""

from __future__ import annotations

import os

import pytest


def require_edition(name: str) -> None:
    """Skip the test unless the edition is installed and this process is meant for it.

    Both editions never share a process, so `make verify-gpu` runs tests once for each and names it
    in MTINET_GPU_BACKEND.
    """
    chosen = os.environ.get("MTINET_GPU_BACKEND", "")
    if chosen and name != chosen:
        pytest.skip(f"this process is for {chosen}")
    module = pytest.importorskip(name)
    if not hasattr(module, "Builder"):
        pytest.skip(f"of {name} there are type stubs alone")
