# SPDX-License-Identifier: Apache-2.0
"""Puts the double of PyCUDA and TensorRT's runtime in place of the GPU that a test has not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_DOUBLES = Path(__file__).parent / "doubles"
_MODULES = ("pycuda", "pycuda.driver", "tensorrt")


def _forget() -> None:
    from mtinet_ros.inference.tensorrt_edition import load_edition

    load_edition.cache_clear()
    for name in _MODULES:
        sys.modules.pop(name, None)


@contextmanager
def gpu_double(engine_folder: Path) -> Iterator[Any]:
    """Make `pycuda` and `tensorrt` the doubles, and give `tensorrt_rtx` the doubled runtime.

    Args:
        engine_folder: Where engines with their sidecars will lie; also made the default cache.

    Yields:
        The double's `machine`; on leaving it must have nothing left over.
    """
    from mtinet_ros.inference import tensorrt_edition

    tensorrt_rtx = pytest.importorskip("tensorrt_rtx")
    with pytest.MonkeyPatch.context() as patch:
        _forget()
        patch.setattr(sys, "path", [str(_DOUBLES), *sys.path])
        patch.setenv("XDG_CACHE_HOME", str(engine_folder.parent))
        import tensorrt
        from pycuda.driver import machine

        patch.setattr(tensorrt_rtx, "Runtime", tensorrt.Runtime)
        # The double of `tensorrt` has the real `tensorrt_rtx` inside.
        patch.setattr(tensorrt_edition, "_NATIVE_MODULES", {})
        machine.engine_folder = str(engine_folder)
        yield machine
        _forget()
        assert machine.leftovers() == []
