# SPDX-License-Identifier: Apache-2.0
"""Compiles the kernel's source with the system's C compiler, so that a CPU runs it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


@cache
def compile_for_cpu(source: str) -> Any:
    """The kernel's library; `fit_image` takes the address of its argument."""
    assert COMPILER is not None
    with tempfile.TemporaryDirectory() as folder:
        file, library = Path(folder, "kernel.c"), Path(folder, "kernel.so")
        file.write_text(source)
        options = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([COMPILER, *options, str(file), "-o", str(library)], check=True)
        loaded = ctypes.CDLL(str(library))
    loaded.fit_image.argtypes = [ctypes.c_void_p]
    return loaded


def run_on_cpu(source: str, argument: np.void) -> None:
    """Run the kernel on addresses of this process."""
    struct = np.array(argument)
    compile_for_cpu(source).fit_image(struct.ctypes.data)
