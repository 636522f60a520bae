# SPDX-License-Identifier: Apache-2.0
"""`CudaDriver` over NVIDIA's cuda-bindings, which come as wheels and can capture streams.

Its functions take and return what the driver's do (nvidia.github.io/cuda-python): a result code
first, then the values. They release the GIL.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
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
    Kernel,
)
from mtinet_ros.inference.cuda_pycuda import missing_driver, stalled_driver

_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


class CudaError(Exception):
    """A call of the driver failed."""


class OutOfMemoryError(CudaError):
    """It failed for want of memory."""


class _Calls:
    """The driver's functions: they raise `CudaError`, and return the value without the code."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def __call__(self, name: str, *arguments: Any) -> Any:
        result, *values = getattr(self.driver, name)(*arguments)
        if result:  # CUDA_SUCCESS is 0
            _, words = self.driver.cuGetErrorString(result)
            kind = OutOfMemoryError if int(result) == _OUT_OF_MEMORY else CudaError
            raise kind(f"{name} failed: {words.decode() if words else result}")
        return values[0] if len(values) == 1 else tuple(values)


class CudaBindingsDriver:
    """`CudaDriver`."""

    name = "cuda-bindings"
    can_capture = True
    error: type[Exception] = CudaError
    out_of_memory: type[Exception] = OutOfMemoryError

    def __init__(self) -> None:
        """Import cuda-bindings and start the driver.

        Raises:
            BackendUnavailableError: They do not load, or the driver does not start.
            ModuleNotFoundError: They are not installed.
        """
        try:
            from cuda.bindings import driver
        except ModuleNotFoundError:
            raise
        except ImportError as error:
            raise BackendUnavailableError(
                f"cuda-bindings is installed but does not load: {error}",
                "`pip install cuda-bindings --force-reinstall` brings it anew",
            ) from error
        self._call = _Calls(driver)
        try:
            self._call("cuInit", 0)
        except CudaError as error:
            raise stalled_driver(error) from error
        except RuntimeError as error:  # the library is looked for at the first call
            raise missing_driver(error) from error

    def count_devices(self) -> int:
        """See `CudaDriver`."""
        return int(self._call("cuDeviceGetCount"))

    def version(self) -> int:
        """See `CudaDriver`."""
        return int(self._call("cuDriverGetVersion"))

    def identify(self, device_id: int) -> GpuIdentity:
        """See `CudaDriver`."""
        device = self._call("cuDeviceGet", device_id)
        attributes = self._call.driver.CUdevice_attribute

        def attribute(name: str) -> int:
            number = getattr(attributes, f"CU_DEVICE_ATTRIBUTE_{name}")
            return int(self._call("cuDeviceGetAttribute", number, device))

        name: bytes = self._call("cuDeviceGetName", 256, device)
        major = attribute("COMPUTE_CAPABILITY_MAJOR")
        minor = attribute("COMPUTE_CAPABILITY_MINOR")
        return GpuIdentity(
            name.partition(b"\0")[0].decode(),
            f"{major}.{minor}",
            attribute("MULTIPROCESSOR_COUNT"),
            bool(attribute("INTEGRATED")),
            int(self._call("cuDeviceTotalMem", device)),
        )

    def retain_context(self, device_id: int) -> _Context:
        """See `CudaDriver`."""
        return _Context(self._call, self._call("cuDeviceGet", device_id))

    def memory_info(self) -> tuple[int, int]:
        """See `CudaDriver`."""
        free, total = self._call("cuMemGetInfo")
        return int(free), int(total)

    def allocate(self, size: int) -> _Memory:
        """See `CudaDriver`."""
        return _Memory(self._call, size)

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike, mapped: bool) -> _Pinned:
        """See `CudaDriver`."""
        return _Pinned(self._call, shape, dtype, mapped)

    def load_module(self, image: bytes) -> _Module:
        """See `CudaDriver`."""
        return _Module(self._call, image)

    def make_stream(self) -> _Stream:
        """See `CudaDriver`."""
        return _Stream(self._call)

    def make_event(self) -> _Event:
        """See `CudaDriver`."""
        return _Event(self._call)


class _Context:
    def __init__(self, call: _Calls, device: Any) -> None:
        self._call = call
        self._device = device
        self._context: Any = call("cuDevicePrimaryCtxRetain", device)

    def push(self) -> None:
        self._call("cuCtxPushCurrent", self._context)

    def pop(self) -> None:
        self._call("cuCtxPopCurrent")

    def release(self) -> None:
        self._call("cuDevicePrimaryCtxRelease", self._device)


class _Memory:
    def __init__(self, call: _Calls, size: int) -> None:
        self._call = call
        self.address = int(call("cuMemAlloc", size))

    def free(self) -> None:
        self._call("cuMemFree", self.address)


class _Pinned:
    def __init__(
        self, call: _Calls, shape: tuple[int, ...], dtype: DTypeLike, mapped: bool
    ) -> None:
        self._call = call
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        flags = call.driver.CU_MEMHOSTALLOC_DEVICEMAP if mapped else 0
        self._pointer = int(call("cuMemHostAlloc", size, flags))
        memory = (ctypes.c_uint8 * size).from_address(self._pointer)
        self.array: NDArray[Any] = np.frombuffer(memoryview(memory), dtype).reshape(shape)
        self.address = 0
        if mapped:
            try:
                self.address = int(call("cuMemHostGetDevicePointer", self._pointer, 0))
            except CudaError:
                self.free()
                raise

    def free(self) -> None:
        self._call("cuMemFreeHost", self._pointer)


class _Module:
    def __init__(self, call: _Calls, image: bytes) -> None:
        self._call = call
        content = np.frombuffer(image, np.uint8)
        self._module: Any = call("cuModuleLoadData", _address(content))

    def kernel(self, name: str) -> _Kernel:
        return _Kernel(self._call("cuModuleGetFunction", self._module, name.encode()))

    def free(self) -> None:
        self._call("cuModuleUnload", self._module)


class _Kernel:
    def __init__(self, function: Any) -> None:
        self.function = function


class _Stream:
    def __init__(self, call: _Calls) -> None:
        self._call = call
        self._stream: Any = call("cuStreamCreate", NON_BLOCKING)
        self.handle = int(self._stream)

    def upload(self, address: int, pinned: NDArray[Any]) -> None:
        self._call(
            "cuMemcpyHtoDAsync", address, _address(pinned), pinned.nbytes, self._stream
        )  # fmt: skip

    def download(self, pinned: NDArray[Any], address: int) -> None:
        self._call(
            "cuMemcpyDtoHAsync", _address(pinned), address, pinned.nbytes, self._stream
        )  # fmt: skip

    def wait_for(self, event: DriverEvent) -> None:
        assert isinstance(event, _Event)
        self._call("cuStreamWaitEvent", self._stream, event.event, 0)

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, argument: np.void) -> None:
        assert isinstance(kernel, _Kernel)
        content = np.array(argument)
        # The driver takes the addresses of the parameters, of which this is the only one.
        addresses = np.array([_address(content)], np.uint64)
        self._call(
            "cuLaunchKernel",
            *(kernel.function, *grid, *block, 0, self._stream, _address(addresses), 0),
        )

    def begin_capture(self) -> None:
        mode = self._call.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)

    def end_capture(self) -> _Graph:
        graph = self._call("cuStreamEndCapture", self._stream)
        executable = None
        try:
            # It is apart from the graph that it is made of (cuGraphInstantiate).
            executable = _Graph(self._call, graph, self._stream)
            self._call("cuGraphDestroy", graph)
        except CudaError:
            if executable is None:
                with suppress(CudaError):
                    self._call("cuGraphDestroy", graph)
            else:
                executable.free()
            raise
        return executable

    def free(self) -> None:
        self._call("cuStreamDestroy", self._stream)


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class _Graph:
    def __init__(self, call: _Calls, graph: Any, stream: Any) -> None:
        self._call = call
        self._stream = stream
        self._executable: Any = call("cuGraphInstantiate", graph, 0)

    def launch(self) -> None:
        self._call("cuGraphLaunch", self._executable, self._stream)

    def free(self) -> None:
        self._call("cuGraphExecDestroy", self._executable)


class _Event:
    def __init__(self, call: _Calls) -> None:
        self._call = call
        flags = call.driver.CUevent_flags
        self.event: Any = call(
            "cuEventCreate", flags.CU_EVENT_BLOCKING_SYNC | flags.CU_EVENT_DISABLE_TIMING
        )

    def record(self, stream: DriverStream) -> None:
        self._call("cuEventRecord", self.event, stream.handle)

    def wait(self) -> None:
        self._call("cuEventSynchronize", self.event)

    def free(self) -> None:
        self._call("cuEventDestroy", self.event)
