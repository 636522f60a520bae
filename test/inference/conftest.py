# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gpu_double import gpu_double
from support.tiny_model import write_tiny_model

from mtinet_ros.inference.cuda import DeviceContext


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Place of the engines that the tests of a file share."""
    return tmp_path_factory.mktemp("cache") / "mtinet_ros"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes milliseconds, for the tests of a file."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[Any]:
    """A doubled GPU; see `gpu_double`."""
    with gpu_double(tmp_path / "cache" / "mtinet_ros") as machine:
        yield machine


@pytest.fixture
def context(gpu: Any) -> Iterator[DeviceContext]:
    """A context of the doubled GPU, current in this thread."""
    made = DeviceContext(0)
    with made:
        yield made
        gc.collect()  # errors of the double keep what real ones do not
    made.release()
