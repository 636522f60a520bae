# SPDX-License-Identifier: Apache-2.0
"""The skin of `pycuda.driver` over `cuda_machine`, after PyCUDA 2026.1's cuda.hpp.

1. It keeps a stack of contexts of its own in each thread and lets the driver's hold only the top
   one of them ("We don't let CUDA's context stack get more than one deep").
2. `detach` of a primary context releases it and takes it off PyCUDA's stack; the driver's keeps
   it, below what PyCUDA pushes next ("pop is implicit in detach" holds for others only).
3. Objects are freed in the thread and while the context lives that they were made in
   (context_dependent: "out-of-thread context could not be cleaned up"). Else it is recorded.
4. A thread must not end with a context pushed (~context_stack aborts).
5. A copy takes an array, and there is no way to capture a graph.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda_machine import Fault, Result, machine
from cuda_modules import modules


class Error(Exception): ...


class MemoryError(Error): ...


class LogicError(Error): ...


class LaunchError(Error): ...


class event_flags:  # noqa: N801
    BLOCKING_SYNC = 1
    DISABLE_TIMING = 2


class host_alloc_flags:  # noqa: N801
    DEVICEMAP = 2


class device_attribute:  # noqa: N801
    MULTIPROCESSOR_COUNT = "multiprocessors"
    INTEGRATED = "integrated"


def _ask(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Fault as fault:
        kind = LaunchError if fault.result >= 700 else LogicError
        if fault.result == Result.CUDA_ERROR_OUT_OF_MEMORY:
            kind = MemoryError
        raise kind(str(fault)) from None


def init(flags: int = 0) -> None:
    _ask(machine.cuInit)


class Device:
    def __init__(self, number: int) -> None:
        self._number = number
        self._gpu = _ask(machine.gpu, number)

    @staticmethod
    def count() -> int:
        return int(_ask(machine.cuDeviceGetCount))

    def name(self) -> str:
        return str(_ask(machine.gpu, self._number, "cuDeviceGetName").name)

    def compute_capability(self) -> Any:
        return _ask(machine.gpu, self._number, "cuDeviceComputeCapability").capability

    def get_attribute(self, attribute: str) -> int:
        return int(getattr(_ask(machine.gpu, self._number, "cuDeviceGetAttribute"), attribute))

    def total_memory(self) -> int:
        return int(_ask(machine.gpu, self._number, "cuDeviceTotalMem").memory)

    def retain_primary_context(self) -> Context:
        return Context(_ask(machine.cuDevicePrimaryCtxRetain, self._number), self._number)


_stacks: defaultdict[int, list[Context]] = defaultdict(list)


def _stack() -> list[Context]:
    return _stacks[threading.get_ident()]


class Context:
    def __init__(self, handle: int, device: int) -> None:
        self.handle, self._device = handle, device
        self.is_valid, self.thread = True, threading.get_ident()

    def push(self) -> None:
        if _stack():
            _ask(machine.cuCtxPopCurrent)
        _ask(machine.cuCtxPushCurrent, self.handle)
        _stack().append(self)

    @staticmethod
    def pop() -> None:
        if _stack():
            _ask(machine.cuCtxPopCurrent)
        else:
            raise LogicError("context::pop failed: invalid device context")
        _stack().pop()
        if _stack():
            _ask(machine.cuCtxPushCurrent, _stack()[-1].handle)

    def detach(self) -> None:
        if not self.is_valid:
            raise LogicError("context::detach failed: invalid device context")
        was_active = _stack()[-1:] == [self]
        if not was_active and self.thread == threading.get_ident():
            _ask(machine.cuCtxPushCurrent, self.handle)
        if was_active or self.thread == threading.get_ident():
            _ask(machine.cuDevicePrimaryCtxRelease, self._device)
        self.is_valid = False
        if was_active:
            while _stack() and (_stack()[-1] is self or not _stack()[-1].is_valid):
                _stack().pop()
            if _stack():
                _ask(machine.cuCtxPushCurrent, _stack()[-1].handle)


class _OfContext:
    """What remembers the context it was made in."""

    _free: Callable[[int], None]

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._context = _stack()[-1]

    def _destroy(self, free: Callable[[int], None]) -> None:
        context = self._context
        if not context.is_valid or context.thread != threading.get_ident():
            machine.violations.append(f"{type(self).__name__} could not be cleaned up (rule 3)")
        elif _stack()[-1:] == [context]:
            _ask(free, self.handle)
        else:
            context.push()
            try:
                _ask(free, self.handle)
            finally:
                Context.pop()


class Stream(_OfContext):
    def __init__(self, flags: int = 0) -> None:
        super().__init__(_ask(machine.cuStreamCreate, flags))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            _quietly(self._destroy, machine.cuStreamDestroy)

    def wait_for_event(self, evt: Event) -> Stream:
        _ask(machine.cuStreamWaitEvent, self.handle, evt.handle)
        return self


class Event(_OfContext):
    def __init__(self, flags: int = 0) -> None:
        super().__init__(_ask(machine.cuEventCreate, flags))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            _quietly(self._destroy, machine.cuEventDestroy)

    def record(self, stream: Stream) -> Event:
        _ask(machine.cuEventRecord, self.handle, stream.handle)
        return self

    def synchronize(self) -> Event:
        _ask(machine.cuEventSynchronize, self.handle)
        return self


def _quietly(destroy: Callable[..., None], free: Callable[[int], None]) -> None:
    """A destructor only warns (CUDAPP_CALL_GUARDED_CLEANUP)."""
    with contextlib.suppress(Error):
        destroy(free)


class DeviceAllocation(_OfContext):
    def free(self) -> None:
        _quietly(self._destroy, machine.cuMemFree)

    def __int__(self) -> int:
        return self.handle


class PagelockedHostAllocation(_OfContext):
    def __init__(self, shape: Any, dtype: Any, flags: int) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        super().__init__(_ask(machine.cuMemHostAlloc, size, flags))
        memory = machine.pinned[self.handle].view(dtype).reshape(shape)
        self.__array_interface__ = memory.__array_interface__

    def free(self) -> None:
        _quietly(self._destroy, machine.cuMemFreeHost)

    def get_device_pointer(self) -> int:
        return int(_ask(machine.cuMemHostGetDevicePointer, self.handle))


class Module(_OfContext):
    def __init__(self, image: bytes) -> None:
        content = np.frombuffer(image, np.uint8)
        super().__init__(_ask(modules.cuModuleLoadData, content.ctypes.data))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            _quietly(self._destroy, modules.cuModuleUnload)

    def get_function(self, name: str) -> Function:
        return Function(self, _ask(modules.cuModuleGetFunction, self.handle, name))


class Function:
    """It holds its module. Of arguments, the double knows one struct."""

    def __init__(self, module: Module, handle: int) -> None:
        self._module, self._handle = module, handle

    def __call__(self, argument: Any, *, grid: Any, block: Any, stream: Stream) -> None:
        assert isinstance(argument, np.void)
        arguments = (grid, block, 0, stream.handle, bytes(argument.tobytes()))
        _ask(modules.cuLaunchKernel, self._handle, *arguments)


def module_from_buffer(buffer: bytes) -> Module:
    return Module(buffer)


def get_driver_version() -> int:
    return int(_ask(machine.cuDriverGetVersion))


def mem_alloc(bytes: int) -> DeviceAllocation:
    return DeviceAllocation(_ask(machine.cuMemAlloc, bytes))


def mem_get_info() -> Any:
    return _ask(machine.cuMemGetInfo)


def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
    return np.asarray(PagelockedHostAllocation(shape, dtype, mem_flags))


def memcpy_htod_async(dest: int, src: Any, stream: Stream) -> None:
    _ask(machine.cuMemcpyHtoDAsync, int(dest), src.ctypes.data, src.nbytes, stream.handle)


def memcpy_dtoh_async(dest: Any, src: int, stream: Stream) -> None:
    _ask(machine.cuMemcpyDtoHAsync, dest.ctypes.data, int(src), dest.nbytes, stream.handle)


class _DriverLibrary:
    """The driver's library, as far as it is called beside PyCUDA."""

    @staticmethod
    def cuCtxPopCurrent_v2(context: Any) -> int:  # noqa: N802
        machine.cuCtxPopCurrent()
        return 0


if "mtinet_ros.inference.cuda_pycuda" in sys.modules:
    sys.modules["mtinet_ros.inference.cuda_pycuda"].__dict__["driver_library"] = _DriverLibrary
