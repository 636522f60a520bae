# SPDX-License-Identifier: Apache-2.0
"""What the machine is, asked of the NVIDIA driver itself: needs nothing but Python.

python -m gpu.machine
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# CUdevice_attribute of cuda.h.
_MULTIPROCESSORS, _INTEGRATED, _MAJOR, _MINOR = 16, 18, 75, 76


@dataclass(frozen=True)
class Gpu:
    """The first GPU.

    Attributes:
        name: As the driver gives it.
        capability: Its compute capability.
        multiprocessors: How many.
        is_integrated: Whether its memory is the host's: filling it takes the machine down.
        memory: In bytes.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    is_integrated: bool
    memory: int


@dataclass(frozen=True)
class Machine:
    """The facts by which it is decided what to install.

    Attributes:
        architecture: E.g. `x86_64`.
        python: Version of the Python that runs.
        gpu: The first GPU, or None.
        why_no_gpu: Why there is none.
        cuda: CUDA version of the driver.
        jetpack: First line of `/etc/nv_tegra_release`; empty elsewhere.
        nvcc: The CUDA compiler's folder; empty if there is none.
    """

    architecture: str
    python: tuple[int, int]
    gpu: Gpu | None
    why_no_gpu: str = ""
    cuda: tuple[int, int] = (0, 0)
    jetpack: str = ""
    nvcc: str = ""

    def describe(self) -> list[str]:
        """The facts, a line each."""
        gpu, python = self.gpu, ".".join(map(str, self.python))
        lines = [
            f"{platform.platform()}, {self.architecture}, Python {python}",
            f"no GPU: {self.why_no_gpu}"
            if gpu is None
            else f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, "
            f"{gpu.multiprocessors} multiprocessors, {gpu.memory / 2**30:.1f} GiB"
            + (" shared with the host" if gpu.is_integrated else ""),
            f"driver for CUDA {self.cuda[0]}.{self.cuda[1]}",
            f"CUDA compiler: {self.nvcc or 'none'}",
        ]
        return [*lines, f"Jetson: {self.jetpack}"] if self.jetpack else lines


def read_machine() -> Machine:
    """Ask the driver; makes no context, and never fails."""
    gpu, why, cuda = _ask_driver()
    tegra = Path("/etc/nv_tegra_release")
    # The toolkit's own folder first: headers lie beside it, but not beside a link to it.
    compiler = shutil.which("nvcc", path=os.pathsep.join((_TOOLKIT, os.environ.get("PATH", ""))))
    return Machine(
        architecture=platform.machine(),
        python=sys.version_info[:2],
        gpu=gpu,
        why_no_gpu=why,
        cuda=cuda,
        jetpack=tegra.read_text().partition("\n")[0] if tegra.is_file() else "",
        nvcc=str(Path(compiler).parent) if compiler else "",
    )


_TOOLKIT = "/usr/local/cuda/bin"


def _ask_driver() -> tuple[Gpu | None, str, tuple[int, int]]:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return None, f"no NVIDIA driver ({error})", (0, 0)
    number = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(number))
    cuda = (number.value // 1000, number.value % 1000 // 10)
    if code := driver.cuInit(0):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if visible is None else f"; CUDA_VISIBLE_DEVICES is {visible!r}"
        return None, f"cuInit answers with error {code}{hint}", cuda
    device = ctypes.c_int()
    if code := driver.cuDeviceGet(ctypes.byref(device), 0):
        return None, f"cuDeviceGet answers with error {code}", cuda
    name, memory = ctypes.create_string_buffer(100), ctypes.c_size_t()
    driver.cuDeviceGetName(name, 100, device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)

    def attribute(wanted: int) -> int:
        driver.cuDeviceGetAttribute(ctypes.byref(number), wanted, device)
        return number.value

    gpu = Gpu(
        name.value.decode("utf-8", "replace"),
        (attribute(_MAJOR), attribute(_MINOR)),
        attribute(_MULTIPROCESSORS),
        bool(attribute(_INTEGRATED)),
        memory.value,
    )
    return gpu, "", cuda


def main() -> int:
    """Print the facts, and what nvidia-smi says; 1 if there is no GPU."""
    machine = read_machine()
    print("\n".join(machine.describe()))
    if shutil.which("nvidia-smi"):
        subprocess.run(["nvidia-smi"], check=False)
    return 0 if machine.gpu else 1


if __name__ == "__main__":
    sys.exit(main())
