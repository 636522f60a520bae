# SPDX-License-Identifier: Apache-2.0
"""Compiles a kernel for a GPU with NVRTC, NVIDIA's compiler as a library; needs no GPU itself.

It comes with the CUDA toolkit or as a wheel. What it makes is machine code for one architecture
(a cubin), which a driver of the same major version of CUDA loads (NVRTC manual, nvrtcGetCUBIN;
CUDA Compatibility, Minor Version Compatibility), not PTX, which an older driver refuses.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtinet_ros.errors import BackendError, BackendUnavailableError

_SUCCESS = 0
_COMPILATION_FAILED = 6  # NVRTC_ERROR_COMPILATION, of which the program's log tells

# The majors of CUDA whose NVRTC has the calls below: nvrtcGetCUBIN came with 11.1, architectures
# with 11.2.
_MAJORS = (13, 12, 11)


def compile_kernel(source: str, compute_capability: str, driver_version: int) -> bytes:
    """Machine code of CUDA C++ source.

    Args:
        source: The program; its kernels are `extern "C"`.
        compute_capability: Of the GPU, e.g. `8.7`.
        driver_version: The newest CUDA that the driver knows, as cuDriverGetVersion has it:
            12040 for 12.4.

    Raises:
        BackendUnavailableError: There is no NVRTC that this driver can use, or it does not know
            this GPU.
        BackendError: It fails; its log is in the message.
    """
    compiler = _Compiler(load_library(driver_version // 1000))
    number = compute_capability.replace(".", "")
    known = compiler.architectures()
    if int(number) not in known:
        raise BackendUnavailableError(
            f"compute capability {compute_capability} is not known to NVRTC {compiler.version}, "
            f"which knows {', '.join(f'{n // 10}.{n % 10}' for n in known)}",
            "install that of another CUDA, no newer than the driver",
        )
    with compiler.program(source) as program:
        return program.compile(f"--gpu-architecture=sm_{number}")


def load_library(driver_major: int) -> Any:
    """The newest library that is no newer than the driver.

    Args:
        driver_major: Of the newest CUDA that the driver knows.

    Raises:
        BackendUnavailableError: There is none.
    """
    majors = [major for major in _MAJORS if major <= driver_major]
    for name in candidates(majors):
        try:
            return open_library(name)
        except OSError:
            continue
    wheel = "nvidia-cuda-nvrtc" if driver_major >= 13 else f"nvidia-cuda-nvrtc-cu{driver_major}"
    raise BackendUnavailableError(
        f"there is no NVRTC for a driver of CUDA {driver_major} here",
        f"`pip install {wheel}` brings it, as does the CUDA toolkit",
    )


def open_library(name: str) -> Any:
    """Open a library by name or path.

    Raises:
        OSError: It is not there, or does not load.
    """
    return ctypes.CDLL(name)


def candidates(majors: list[int]) -> Iterator[str]:
    """Where NVRTC may be: in NVIDIA's wheels, in the toolkit, where the linker looks."""
    spec = importlib.util.find_spec("nvidia")
    wheels = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    toolkit = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    for major in majors:
        name = "libnvrtc.so.11.2" if major == 11 else f"libnvrtc.so.{major}"
        for folder in wheels:
            yield from (str(path) for path in sorted(folder.glob(f"*/lib/{name}")))
        yield name
        yield str(Path(toolkit) / "lib64" / name)


class _Compiler:
    """The library's calls; they raise `BackendError`."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise BackendError(f"this NVRTC is too old, or none at all: {error}") from error
        result = function(*arguments)
        if result != _SUCCESS:
            words = self._library.nvrtcGetErrorString
            words.restype = ctypes.c_char_p
            raise NvrtcError(f"{name} failed: {(words(result) or b'').decode()}", result)

    @property
    def version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def architectures(self) -> list[int]:
        """Such as 87 for sm_87."""
        count = ctypes.c_int()
        self.call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self.call("nvrtcGetSupportedArchs", ctypes.byref(numbers))
        return list(numbers)

    @contextmanager
    def program(self, source: str) -> Iterator[_Program]:
        handle = ctypes.c_void_p()
        self.call(
            "nvrtcCreateProgram",
            *(ctypes.byref(handle), source.encode(), b"kernel.cu", 0, None, None),
        )
        try:
            yield _Program(self, handle)
        finally:
            self.call("nvrtcDestroyProgram", ctypes.byref(handle))


class NvrtcError(BackendError):
    """A call of NVRTC failed; `result` is its nvrtcResult."""

    def __init__(self, message: str, result: int) -> None:
        """As it says."""
        super().__init__(message)
        self.result = result


class _Program:
    def __init__(self, compiler: _Compiler, handle: ctypes.c_void_p) -> None:
        self._compiler = compiler
        self._handle = handle

    def compile(self, *options: str) -> bytes:
        encoded = [option.encode() for option in options]
        array = (ctypes.c_char_p * len(encoded))(*encoded)
        try:
            self._compiler.call("nvrtcCompileProgram", self._handle, len(encoded), array)
        except NvrtcError as error:
            if error.result != _COMPILATION_FAILED:
                raise
            log = self._read("nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
            text = log.rstrip(b"\0").decode(errors="replace").strip()
            raise NvrtcError(f"{error}: {text}", error.result) from error
        return self._read("nvrtcGetCUBINSize", "nvrtcGetCUBIN")

    def _read(self, size_call: str, call: str) -> bytes:
        size = ctypes.c_size_t()
        self._compiler.call(size_call, self._handle, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._compiler.call(call, self._handle, content)
        return content.raw
