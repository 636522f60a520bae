# SPDX-License-Identifier: Apache-2.0
"""Modules and kernels of `cuda_machine`, and NVRTC ("NVRTC": its manual).

14. A module is machine code for the GPU's own architecture, else CUDA_ERROR_NO_BINARY_FOR_GPU;
    what is no machine code is CUDA_ERROR_INVALID_IMAGE (Driver, cuModuleLoadData). Loading
    allocates, which captures forbid. A name that it has not is CUDA_ERROR_NOT_FOUND
    (cuModuleGetFunction).
15. A kernel's parameters are copied when it is launched (Driver, cuLaunchKernel); what it touches
    is memory of the device. A block has 1024 threads at most, 64 along z; a grid 65535 blocks
    along y and z (Guide, Compute Capabilities).
16. A kernel of a module that is unloaded must not run: here it is recorded.
17. A program is compiled once and destroyed; its machine code is there only if it was compiled for
    an architecture `sm_…` (NVRTC, nvrtcGetCUBIN), its log also if that failed.

Machine code is the source here, for an architecture; a kernel runs on the CPU, by the system's C
compiler, whose `fit_image` is the only kernel that is known.
"""

# ruff: noqa: N802  # the names are the library's

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cuda_machine import Fault, Machine, Result, machine

from mtinet_ros.inference import nvrtc
from mtinet_ros.inference.fit_kernel import _JOB as JOB

# A node's process has the doubles alone on its path.
sys.path.append(str(Path(__file__).parents[2]))
from support.kernel_on_cpu import COMPILER, compile_for_cpu, run_on_cpu

_MAGIC = b"\x7fELF of the double"


def _image(source: str, architecture: str) -> bytes:
    content = json.dumps({"source": source, "architecture": architecture}).encode()
    return _MAGIC + len(content).to_bytes(4, "little") + content


@dataclass(frozen=True)
class Function:
    module: int
    source: str


@dataclass
class Modules:
    """What is loaded."""

    machine: Machine
    functions: dict[int, Function] = field(default_factory=dict)

    def cuModuleLoadData(self, address: int) -> int:
        call = "cuModuleLoadData"
        self.machine.enter(call, unsafe=True)
        if ctypes.string_at(address, len(_MAGIC)) != _MAGIC:
            raise Fault(call, Result.CUDA_ERROR_INVALID_IMAGE)
        size = int.from_bytes(ctypes.string_at(address + len(_MAGIC), 4), "little")
        image = json.loads(ctypes.string_at(address + len(_MAGIC) + 4, size))
        major, minor = self.machine.gpus[0].capability
        if image["architecture"] != f"sm_{major}{minor}":
            raise Fault(call, Result.CUDA_ERROR_NO_BINARY_FOR_GPU)
        module = self.machine.new_handle()
        self.machine.modules[module] = image["source"]
        return module

    def cuModuleGetFunction(self, module: int, name: str) -> int:
        call = "cuModuleGetFunction"
        self.machine.enter(call)
        source = self.machine.modules[module]
        if not re.search(rf'extern "C" __global__ void {name}\(', source):
            raise Fault(call, Result.CUDA_ERROR_NOT_FOUND)
        handle = self.machine.new_handle()
        self.functions[handle] = Function(module, source)
        return handle

    def cuModuleUnload(self, module: int) -> None:
        self.machine.enter("cuModuleUnload", unsafe=True)
        if module not in self.machine.modules:
            raise Fault("cuModuleUnload", Result.CUDA_ERROR_INVALID_HANDLE)
        del self.machine.modules[module]
        self.machine.order.append("module")

    def cuLaunchKernel(
        self, handle: int, grid: Any, block: Any, shared: int, stream: int, parameters: bytes
    ) -> None:
        call = "cuLaunchKernel"
        self.machine.enter(call)
        function = self.functions[handle]
        if function.module not in self.machine.modules:
            raise Fault(call, Result.CUDA_ERROR_INVALID_HANDLE)
        job = np.frombuffer(parameters, JOB)[0].copy()
        reach = (grid[0] * block[0], grid[1] * block[1])
        if (
            len(parameters) != JOB.itemsize
            or min(*grid, *block) < 1
            or max(grid[1:]) > 65535
            or int(np.prod(block)) > 1024
            or block[2] > 64
        ):
            raise Fault(call, Result.CUDA_ERROR_INVALID_VALUE)
        source, out = int(job["source"]), int(job["out"])
        source_size, out_size = (
            _bytes_read(job),
            int(job["out_height"]) * int(job["out_width"]) * 3,
        )

        def run() -> None:
            if function.module not in self.machine.modules:
                self.machine.violations.append("a kernel outlived its module (rule 16)")
                return
            image = np.frombuffer(self.machine.at(source, source_size), np.uint8).copy()
            result = np.frombuffer(self.machine.at(out, out_size), np.uint8)
            if reach[0] < job["out_width"] or reach[1] < job["out_height"]:
                self.machine.violations.append("a grid does not reach every pixel")
            here = job.copy()
            here["source"], here["out"] = image.ctypes.data, result.ctypes.data
            run_on_cpu(function.source, here)

        self.machine.streams[stream].put(
            run, "a kernel", [(source, source_size)], [(out, out_size)]
        )


def _bytes_read(job: np.void) -> int:
    """From the first to the last byte of an image; NV21 has half as many rows again."""
    rows = int(job["height"]) * 3 // 2 if job["layout"] == 2 else int(job["height"])
    return int(job["step"]) * (rows - 1) + int(job["width"]) * int(job["pixel_bytes"])


modules = Modules(machine)


@dataclass
class Program:
    source: str
    log: bytes = b""
    image: bytes = b""


class Nvrtc:
    """The library as ctypes sees it."""

    architectures = (75, 80, 86, 87, 89, 90, 120)

    def __init__(self) -> None:
        self.nvrtcGetErrorString = self._words  # which has a `restype`

    @staticmethod
    def _fails(call: str) -> int:
        machine.calls[call] += 1
        if machine.faults.get(call, (None, 0))[1] != machine.calls[call]:
            return 0
        del machine.faults[call]
        return 11  # NVRTC_ERROR_INTERNAL_ERROR

    class _words:  # noqa: N801
        restype: Any = None

        def __new__(cls, result: int) -> Any:
            return {6: b"NVRTC_ERROR_COMPILATION"}.get(result, b"NVRTC_ERROR_INTERNAL_ERROR")

    def nvrtcVersion(self, major: Any, minor: Any) -> int:
        major._obj.value, minor._obj.value = 13, 0
        return self._fails("nvrtcVersion")

    def nvrtcGetNumSupportedArchs(self, count: Any) -> int:
        count._obj.value = len(self.architectures)
        return self._fails("nvrtcGetNumSupportedArchs")

    def nvrtcGetSupportedArchs(self, numbers: Any) -> int:
        numbers._obj[:] = self.architectures
        return self._fails("nvrtcGetSupportedArchs")

    def nvrtcCreateProgram(
        self, handle: Any, source: bytes, name: bytes, count: int, headers: Any, names: Any
    ) -> int:
        if failure := self._fails("nvrtcCreateProgram"):
            return failure
        handle._obj.value = machine.new_handle()
        machine.programs[handle._obj.value] = Program(source.decode())
        return 0

    def nvrtcDestroyProgram(self, handle: Any) -> int:
        del machine.programs[handle._obj.value]
        return self._fails("nvrtcDestroyProgram")

    def nvrtcCompileProgram(self, handle: Any, count: int, options: Any) -> int:
        if failure := self._fails("nvrtcCompileProgram"):
            return failure
        program = machine.programs[handle.value]
        (option,) = list(options)[:count]
        architecture = option.decode().removeprefix("--gpu-architecture=")
        try:
            compile_for_cpu(program.source)
        except subprocess.CalledProcessError:
            program.log = b"kernel.cu(1): error: as the C compiler says\0"
            return 6
        if architecture.startswith("sm_"):
            program.image = _image(program.source, architecture)
        return 0

    def nvrtcGetProgramLogSize(self, handle: Any, size: Any) -> int:
        size._obj.value = len(machine.programs[handle.value].log)
        return self._fails("nvrtcGetProgramLogSize")

    def nvrtcGetProgramLog(self, handle: Any, content: Any) -> int:
        content.raw = machine.programs[handle.value].log
        return self._fails("nvrtcGetProgramLog")

    def nvrtcGetCUBINSize(self, handle: Any, size: Any) -> int:
        size._obj.value = len(machine.programs[handle.value].image)
        return self._fails("nvrtcGetCUBINSize")

    def nvrtcGetCUBIN(self, handle: Any, content: Any) -> int:
        content.raw = machine.programs[handle.value].image
        return self._fails("nvrtcGetCUBIN")


def open_library(name: str) -> Nvrtc:
    """In place of `nvrtc.open_library`: it is here if it can compile."""
    if COMPILER is None:
        raise OSError(f"{name}: there is no C compiler for the double of NVRTC")
    return Nvrtc()


nvrtc.__dict__["open_library"] = open_library
