# SPDX-License-Identifier: Apache-2.0
"""A GPU: its primary context, a stream, page-locked and device memory.

Everything here belongs to one thread, see `cuda_driver`. PyCUDA brings the driver or, where that
is not installed or does not load, NVIDIA's cuda-bindings.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType

from numpy.typing import DTypeLike

from mtinet_ros.errors import BackendError, BackendUnavailableError
from mtinet_ros.inference.cuda_driver import (
    CudaDriver,
    DriverEvent,
    DriverStream,
    GpuIdentity,
    Module,
    PrimaryContext,
)

__all__ = [
    "CudaPackage",
    "DeviceBuffer",
    "DeviceContext",
    "GpuIdentity",
    "HostBuffer",
    "check_device",
    "cuda_driver",
    "cuda_errors",
    "cuda_packages",
    "device_memory_used",
    "driver_version",
    "identify_gpu",
    "load_module",
    "make_event",
    "make_stream",
]

logger = logging.getLogger("mtinet_ros.inference")

_INSTALL = (
    "`pip install cuda-bindings` brings it as a wheel; `pip install pycuda` compiles against the "
    "CUDA toolkit"
)


def _load_pycuda() -> CudaDriver:
    from mtinet_ros.inference.cuda_pycuda import PyCudaDriver

    return PyCudaDriver()


def _load_cuda_bindings() -> CudaDriver:
    from mtinet_ros.inference.cuda_bindings import CudaBindingsDriver

    return CudaBindingsDriver()


# pip's name -> its module, and what makes a driver of it; in the order in which they are tried.
_PACKAGES: dict[str, tuple[str, Callable[[], CudaDriver]]] = {
    "pycuda": ("pycuda", _load_pycuda),
    "cuda-bindings": ("cuda.bindings", _load_cuda_bindings),
}


@dataclass(frozen=True)
class CudaPackage:
    """A Python package that can bring the driver, as it is on this machine.

    Attributes:
        name: As pip knows it.
        is_installed: Whether Python finds it.
        problem: Why it does not serve, in words; empty if it does, or is not installed.
        advice: What to do about that; may be empty.
        is_used: Whether it is the one that GPU backends use.
    """

    name: str
    is_installed: bool
    problem: str = ""
    advice: str = ""
    is_used: bool = False


def cuda_packages() -> list[CudaPackage]:
    """The packages of which one is needed for a GPU, the preferred first; makes no context."""
    packages = []
    used = False
    for name, (module, load) in _PACKAGES.items():
        if not _is_installed(module):
            packages.append(CudaPackage(name, is_installed=False))
            continue
        try:
            load()
        except BackendUnavailableError as error:
            packages.append(CudaPackage(name, True, error.problem, error.advice))
        else:
            packages.append(CudaPackage(name, True, is_used=not used))
            used = True
    return packages


def _is_installed(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of the package that it is part of
        return False
    return spec is not None and spec.origin is not None


@cache
def cuda_driver() -> CudaDriver:
    """The driver, started, by the first package that brings it.

    Raises:
        BackendUnavailableError: None is installed, none loads, or there is no driver or GPU.
    """
    failures: list[tuple[str, BackendUnavailableError]] = []
    for name, (module, load) in _PACKAGES.items():
        if not _is_installed(module):
            continue
        try:
            driver = load()
        except BackendUnavailableError as error:
            failures.append((name, error))
            continue
        for _, failure in failures:
            logger.warning("%s; %s is used instead", failure.problem, name)
        return driver
    if not failures:
        raise BackendUnavailableError("neither pycuda nor cuda-bindings is installed", _INSTALL)
    raise failures[0][1]


def check_device(device_id: int) -> None:
    """Hold a device number against the CUDA devices of this machine; makes no context.

    Raises:
        BackendUnavailableError: Python's package for CUDA, the driver or the device is missing.
    """
    driver = cuda_driver()
    try:
        count = driver.count_devices()
    except driver.error as error:
        raise BackendUnavailableError(f"CUDA failed to count the GPUs: {error}") from error
    if not 0 <= device_id < count:
        known = (
            f"0 to {count - 1}" if count > 1 else "only device 0" if count else "no CUDA device"
        )
        raise BackendUnavailableError(
            f"device_id {device_id} does not exist: this machine has {known}"
        )


def identify_gpu(device_id: int) -> GpuIdentity:
    """Ask the driver about a device; makes no context.

    Raises:
        BackendUnavailableError: See `check_device`.
        BackendError: The driver does not describe it.
    """
    check_device(device_id)
    with cuda_errors("describe the GPU"):
        return cuda_driver().identify(device_id)


@contextmanager
def cuda_errors(doing: str) -> Iterator[None]:
    """Turn the driver's errors inside the block into `BackendError` with what to do.

    Args:
        doing: The operation, for the message: "CUDA failed to <doing>: …".
    """
    driver = cuda_driver()
    try:
        yield
    except driver.error as error:
        advice = ""
        if isinstance(error, driver.out_of_memory):
            advice = (
                "; the GPU is out of memory: end other programs on it (nvidia-smi), or lower "
                "max_batch or workspace_mb"
            )
        raise BackendError(f"CUDA failed to {doing}: {error}{advice}") from error


class DeviceContext:
    """The primary context of a device, retained; current only inside a `with` block.

    The primary context is the one that TensorRT (through the CUDA runtime API) and every
    well-behaved library in this process share. Making it current for each use and taking it away
    afterwards leaves another CUDA user of the thread in peace; so does `release`, after which it
    is on no stack of the thread.

    Attributes:
        identity: The device, as engines know it.
        description: The device in logs, e.g. `cuda:0 Orin`.
    """

    def __init__(self, device_id: int) -> None:
        """Start CUDA and retain the device's primary context.

        Raises:
            BackendError: There is no driver, no such device, or no memory for a context.
        """
        self.identity = identify_gpu(device_id)
        self.description = f"cuda:{device_id} {self.identity.name}"
        with cuda_errors(f"make a context on device {device_id}"):
            self._context: PrimaryContext = cuda_driver().retain_context(device_id)

    def __enter__(self) -> DeviceContext:
        """Make the context current in this thread."""
        with cuda_errors("make its context current"):
            self._context.push()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it away again."""
        with cuda_errors("take its context away"):
            self._context.pop()

    def release(self) -> None:
        """Give the primary context back. Everything made in it must be free already."""
        with cuda_errors("give its context back"):
            self._context.release()


class HostBuffer:
    """Page-locked memory of the host, one row per image.

    Attributes:
        rows: Views of the first 1, 2, … rows, made once so that using them allocates nothing.
        address: On the device if it is mapped there, else 0.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, *, mapped: bool = False) -> None:
        """Allocate in the current context.

        Args:
            shape: [max_batch, …].
            dtype: Of its elements.
            mapped: Whether the device shall read and write it where it is.

        Raises:
            BackendError: There is not enough memory.
        """
        with cuda_errors("allocate pinned memory"):
            self._pinned = cuda_driver().allocate_pinned(shape, dtype, mapped)
        self.address = self._pinned.address
        self.rows = tuple(self._pinned.array[: rows + 1] for rows in range(shape[0]))

    @property
    def host_address(self) -> int:
        """Where it begins in the host's memory."""
        return int(self._pinned.array.ctypes.data)

    def free(self) -> None:
        """Free it now; arrays that were handed out end here."""
        self.rows = ()
        with cuda_errors("free pinned memory"):
            self._pinned.free()


class DeviceBuffer:
    """Memory on the device.

    Attributes:
        address: Where it is.
        size: In bytes.
    """

    def __init__(self, size: int) -> None:
        """Allocate in the current context, in bytes.

        Raises:
            BackendError: There is not enough memory.
        """
        with cuda_errors(f"allocate {size / 1e6:.1f} MB on the GPU"):
            self._memory = cuda_driver().allocate(size)
        self.address = self._memory.address
        self.size = size

    def free(self) -> None:
        """Free it now."""
        with cuda_errors("free memory on the GPU"):
            self._memory.free()


def driver_version() -> int:
    """The newest CUDA that the driver knows: 12040 is 12.4.

    Raises:
        BackendError: The driver does not tell.
    """
    with cuda_errors("tell its version"):
        return cuda_driver().version()


def load_module(image: bytes) -> Module:
    """Load machine code for this GPU into the current context.

    Raises:
        BackendError: It is for another GPU or a newer driver, or there is no memory.
    """
    with cuda_errors("load a module"):
        return cuda_driver().load_module(image)


def make_stream() -> DriverStream:
    """A stream in the current context.

    Raises:
        BackendError: The driver makes none.
    """
    with cuda_errors("make a stream"):
        return cuda_driver().make_stream()


def make_event() -> DriverEvent:
    """An event in the current context.

    Raises:
        BackendError: The driver makes none.
    """
    with cuda_errors("make an event"):
        return cuda_driver().make_event()


def device_memory_used() -> int:
    """Bytes in use on the current context's device, by all processes."""
    with cuda_errors("tell its free memory"):
        free, total = cuda_driver().memory_info()
    return total - free
