# SPDX-License-Identifier: Apache-2.0
"""Puts doubles of the CUDA driver and of TensorRT in place of the GPU that a test lacks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_DOUBLES = Path(__file__).parent / "doubles"
_MODULES = (
    "cuda",
    "cuda.bindings",
    "cuda.bindings.driver",
    "cuda_machine",
    "cuda_modules",
    "cuda_ordering",
)
_MODULES += ("pycuda", "pycuda.driver", "tensorrt")
PACKAGES = {"pycuda": "pycuda", "cuda-bindings": "cuda.bindings"}


def _forget() -> None:
    from mtinet_ros.inference import cuda
    from mtinet_ros.inference.tensorrt_edition import load_edition

    load_edition.cache_clear()
    cuda.cuda_driver.cache_clear()
    for name in _MODULES:
        sys.modules.pop(name, None)


@contextmanager
def driver_double(package: str = "pycuda") -> Iterator[Any]:
    """Make a Python package for CUDA the double, and the other one absent.

    Args:
        package: `pycuda` or `cuda-bindings`.

    Yields:
        The double's `machine`; on leaving it must have nothing left over.
    """
    from mtinet_ros.inference import cuda, cuda_pycuda, nvrtc

    with pytest.MonkeyPatch.context() as patch:
        _forget()
        patch.setattr(sys, "path", [str(_DOUBLES), *sys.path])
        from cuda_machine import machine

        # The doubles put their own in place, also in the process that builds engines.
        patch.setattr(cuda_pycuda, "driver_library", cuda_pycuda.driver_library)
        patch.setattr(nvrtc, "open_library", nvrtc.open_library)
        patch.setattr(cuda, "_is_installed", lambda module: module == PACKAGES[package])
        importlib.import_module("cuda_modules")
        yield machine
        _forget()
        assert machine.leftovers() == []


@contextmanager
def gpu_double(engine_folder: Path, package: str = "pycuda") -> Iterator[Any]:
    """`driver_double` with TensorRT: `tensorrt` the double, its runtime also `tensorrt_rtx`'s.

    Args:
        engine_folder: Where engines with their sidecars will lie; also made the default cache.
        package: `pycuda` or `cuda-bindings`.

    Yields:
        The double's `machine`; on leaving it must have nothing left over.
    """
    from mtinet_ros.inference import tensorrt_edition

    tensorrt_rtx = pytest.importorskip("tensorrt_rtx")
    with driver_double(package) as machine, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(engine_folder.parent))
        import tensorrt

        patch.setattr(tensorrt_rtx, "Runtime", tensorrt.RtxRuntime)
        # The double of `tensorrt` has the real `tensorrt_rtx` inside.
        patch.setattr(tensorrt_edition, "_NATIVE_MODULES", {})
        machine.engine_folder = str(engine_folder)
        yield machine
