# SPDX-License-Identifier: Apache-2.0
"""`CudaDriver` over PyCUDA. `pycuda.autoinit` is never imported: it makes a context of its own."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mtinet_ros.errors import BackendUnavailableError
from mtinet_ros.inference.cuda_driver import (
    NON_BLOCKING,
    Dim3,
    DriverEvent,
    DriverStream,
    GpuIdentity,
    Graph,
    Kernel,
)

_DRIVER_LIBRARY = "libcuda.so.1"


class PyCudaDriver:
    """`CudaDriver`; it cannot capture streams."""

    name = "pycuda"
    can_capture = False

    def __init__(self) -> None:
        """Import PyCUDA and start the driver.

        Raises:
            BackendUnavailableError: PyCUDA does not load, or the driver does not start.
            ModuleNotFoundError: It is not installed.
        """
        try:
            import pycuda.driver as driver
        except ModuleNotFoundError:
            raise
        except ImportError as error:
            if not driver_library_loads():
                raise missing_driver(error) from error
            raise BackendUnavailableError(
                f"pycuda is installed but does not load: {error}",
                "`pip install pycuda --force-reinstall --no-cache-dir` builds it for the CUDA "
                "that is here; `pip install cuda-bindings` needs no building",
            ) from error
        self._driver: Any = driver
        self.error: type[Exception] = driver.Error
        self.out_of_memory: type[Exception] = driver.MemoryError
        try:
            driver.init()
        except driver.Error as error:
            raise stalled_driver(error) from error

    def count_devices(self) -> int:
        """See `CudaDriver`."""
        return int(self._driver.Device.count())

    def version(self) -> int:
        """See `CudaDriver`."""
        return int(self._driver.get_driver_version())

    def identify(self, device_id: int) -> GpuIdentity:
        """See `CudaDriver`."""
        device = self._driver.Device(device_id)
        major, minor = device.compute_capability()
        attribute = self._driver.device_attribute
        return GpuIdentity(
            device.name(),
            f"{major}.{minor}",
            device.get_attribute(attribute.MULTIPROCESSOR_COUNT),
            bool(device.get_attribute(attribute.INTEGRATED)),
            device.total_memory(),
        )

    def retain_context(self, device_id: int) -> _Context:
        """See `CudaDriver`."""
        return _Context(self._driver.Device(device_id).retain_primary_context())

    def memory_info(self) -> tuple[int, int]:
        """See `CudaDriver`."""
        free, total = self._driver.mem_get_info()
        return int(free), int(total)

    def allocate(self, size: int) -> _Memory:
        """See `CudaDriver`."""
        return _Memory(self._driver.mem_alloc(size))

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike, mapped: bool) -> _Pinned:
        """See `CudaDriver`."""
        flags = self._driver.host_alloc_flags.DEVICEMAP if mapped else 0
        array: Any = self._driver.pagelocked_empty(shape, dtype, mem_flags=flags)
        return _Pinned(array, mapped)

    def load_module(self, image: bytes) -> _Module:
        """See `CudaDriver`."""
        return _Module(self._driver, image)

    def make_stream(self) -> _Stream:
        """See `CudaDriver`."""
        return _Stream(self._driver)

    def make_event(self) -> _Event:
        """See `CudaDriver`."""
        return _Event(self._driver)


class _Context:
    def __init__(self, context: Any) -> None:
        self._context = context

    def push(self) -> None:
        self._context.push()

    def pop(self) -> None:
        self._context.pop()

    def release(self) -> None:
        """Release it without a trace on the driver's stack.

        `detach` leaves a primary context there, on top of whatever another library had current:
        cuDevicePrimaryCtxRelease pops nothing, and PyCUDA (2026.1, cuda.hpp, `context::detach`)
        takes it off its own stack only. So it is made current as PyCUDA does it, taken off the
        driver's stack behind PyCUDA's back, and detached: what PyCUDA then has on its own stack,
        it makes current again itself.
        """
        self._context.push()
        popped = ctypes.c_void_p()
        driver_library().cuCtxPopCurrent_v2(ctypes.byref(popped))
        self._context.detach()


class _Memory:
    def __init__(self, allocation: Any) -> None:
        self._allocation = allocation
        self.address = int(allocation)

    def free(self) -> None:
        self._allocation.free()


class _Pinned:
    def __init__(self, array: Any, mapped: bool) -> None:
        self.array: NDArray[Any] = array
        self._allocation: Any = array.base
        self.address = 0
        if mapped:
            try:
                self.address = int(self._allocation.get_device_pointer())
            except BaseException:
                # Now and here: a traceback may keep the array alive into another thread.
                self.free()
                raise

    def free(self) -> None:
        self._allocation.free()


class _Module:
    def __init__(self, driver: Any, image: bytes) -> None:
        self._module: Any = driver.module_from_buffer(image)
        self._kernels: list[_Kernel] = []

    def kernel(self, name: str) -> _Kernel:
        kernel = _Kernel(self._module.get_function(name))
        self._kernels.append(kernel)
        return kernel

    def free(self) -> None:
        # A function holds its module; the last reference unloads it.
        for kernel in self._kernels:
            kernel.function = None
        self._module = None


class _Kernel:
    def __init__(self, function: Any) -> None:
        self.function = function


class _Stream:
    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.stream: Any = driver.Stream(NON_BLOCKING)
        self.handle: int = self.stream.handle

    def upload(self, address: int, pinned: NDArray[Any]) -> None:
        self._driver.memcpy_htod_async(address, pinned, self.stream)

    def download(self, pinned: NDArray[Any], address: int) -> None:
        self._driver.memcpy_dtoh_async(pinned, address, self.stream)

    def wait_for(self, event: DriverEvent) -> None:
        assert isinstance(event, _Event)
        self.stream.wait_for_event(event.event)

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, argument: np.void) -> None:
        assert isinstance(kernel, _Kernel)
        kernel.function(argument, grid=grid, block=block, stream=self.stream)

    def begin_capture(self) -> None:
        raise NotImplementedError("pycuda cannot capture a stream")

    def end_capture(self) -> Graph:
        raise NotImplementedError("pycuda cannot capture a stream")

    def free(self) -> None:
        self.stream = None  # the last reference destroys it


class _Event:
    def __init__(self, driver: Any) -> None:
        flags = driver.event_flags
        self.event: Any = driver.Event(flags.BLOCKING_SYNC | flags.DISABLE_TIMING)

    def record(self, stream: DriverStream) -> None:
        assert isinstance(stream, _Stream)
        self.event.record(stream.stream)

    def wait(self) -> None:
        self.event.synchronize()

    def free(self) -> None:
        self.event = None  # the last reference destroys it


def driver_library() -> Any:
    """The driver's library, which PyCUDA links to."""
    return ctypes.CDLL(_DRIVER_LIBRARY)


def driver_library_loads() -> bool:
    """Whether the driver's library is on this machine."""
    try:
        driver_library()
    except OSError:
        return False
    return True


def missing_driver(error: Exception) -> BackendUnavailableError:
    """There is no driver's library, as a package's error says."""
    return BackendUnavailableError(
        f"there is no NVIDIA driver here ({error})",
        "install it, or give the container the GPU (--runtime nvidia, --gpus all)",
    )


def stalled_driver(error: Exception) -> BackendUnavailableError:
    """The driver's library is there, and does not start."""
    return BackendUnavailableError(
        f"CUDA does not start ({error})", "see whether nvidia-smi lists the GPU"
    )
