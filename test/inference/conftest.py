# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gpu_double import gpu_double


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[Any]:
    """A doubled GPU; see `gpu_double`."""
    with gpu_double(tmp_path / "cache" / "mtinet_ros") as machine:
        yield machine
