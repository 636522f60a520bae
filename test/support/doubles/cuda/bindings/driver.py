# SPDX-License-Identifier: Apache-2.0
"""The skin of `cuda.bindings.driver` over `cuda_machine`: a result code first, then the values.

The signatures are those of cuda-bindings 12 and 13 (nvidia.github.io/cuda-python).
"""

# ruff: noqa: N802  # the names are the driver's

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from cuda_machine import Fault, machine
from cuda_machine import Result as CUresult
from cuda_modules import JOB, modules


class CUevent_flags(IntEnum):  # noqa: N801
    CU_EVENT_BLOCKING_SYNC = 1
    CU_EVENT_DISABLE_TIMING = 2


class CUstream_flags(IntEnum):  # noqa: N801
    CU_STREAM_NON_BLOCKING = 1


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1
    CU_STREAM_CAPTURE_MODE_RELAXED = 2


class CUdevice_attribute(IntEnum):  # noqa: N801
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16
    CU_DEVICE_ATTRIBUTE_INTEGRATED = 18
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


CU_MEMHOSTALLOC_DEVICEMAP = 2


def _answer(call: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    try:
        value = call(*arguments)
    except Fault as fault:
        return fault.result, None
    if value is None:
        return (CUresult.CUDA_SUCCESS,)
    return (CUresult.CUDA_SUCCESS, *(value if isinstance(value, tuple) else (value,)))


def cuGetErrorString(error: CUresult) -> Any:
    return CUresult.CUDA_SUCCESS, error.words.encode()


def cuInit(Flags: int) -> Any:
    return _answer(machine.cuInit)


def cuDriverGetVersion() -> Any:
    return _answer(machine.cuDriverGetVersion)


def cuDeviceGetCount() -> Any:
    return _answer(machine.cuDeviceGetCount)


def cuDeviceGet(ordinal: int) -> Any:
    machine_device = _answer(machine.gpu, ordinal)
    return machine_device[0], ordinal


def cuDeviceGetName(length: int, dev: int) -> Any:
    return _answer(lambda: machine.gpu(dev, "cuDeviceGetName").name.encode().ljust(length, b"\0"))


def cuDeviceGetAttribute(attrib: CUdevice_attribute, dev: int) -> Any:
    def value() -> int:
        gpu = machine.gpu(dev, "cuDeviceGetAttribute")
        values = {16: gpu.multiprocessors, 18: gpu.integrated}
        values |= {75: gpu.capability[0], 76: gpu.capability[1]}
        return int(values[attrib])

    return _answer(value)


def cuDeviceTotalMem(dev: int) -> Any:
    return _answer(lambda: machine.gpu(dev, "cuDeviceTotalMem").memory)


def cuDevicePrimaryCtxRetain(dev: int) -> Any:
    return _answer(machine.cuDevicePrimaryCtxRetain, dev)


def cuDevicePrimaryCtxRelease(dev: int) -> Any:
    return _answer(machine.cuDevicePrimaryCtxRelease, dev)


def cuCtxPushCurrent(ctx: int) -> Any:
    return _answer(machine.cuCtxPushCurrent, ctx)


def cuCtxPopCurrent() -> Any:
    return _answer(machine.cuCtxPopCurrent)


def cuMemGetInfo() -> Any:
    return _answer(machine.cuMemGetInfo)


def cuMemAlloc(bytesize: int) -> Any:
    return _answer(machine.cuMemAlloc, bytesize)


def cuMemFree(dptr: int) -> Any:
    return _answer(machine.cuMemFree, dptr)


def cuMemHostAlloc(bytesize: int, Flags: int) -> Any:
    return _answer(machine.cuMemHostAlloc, bytesize, Flags)


def cuMemHostGetDevicePointer(p: int, Flags: int) -> Any:
    return _answer(machine.cuMemHostGetDevicePointer, p)


def cuMemFreeHost(p: int) -> Any:
    return _answer(machine.cuMemFreeHost, p)


def cuStreamCreate(Flags: int) -> Any:
    return _answer(machine.cuStreamCreate, Flags)


def cuStreamDestroy(hStream: int) -> Any:
    return _answer(machine.cuStreamDestroy, hStream)


def cuStreamWaitEvent(hStream: int, hEvent: int, Flags: int) -> Any:
    return _answer(machine.cuStreamWaitEvent, hStream, hEvent)


def cuEventCreate(Flags: int) -> Any:
    return _answer(machine.cuEventCreate, Flags)


def cuEventDestroy(hEvent: int) -> Any:
    return _answer(machine.cuEventDestroy, hEvent)


def cuEventRecord(hEvent: int, hStream: int) -> Any:
    return _answer(machine.cuEventRecord, hEvent, hStream)


def cuEventSynchronize(hEvent: int) -> Any:
    return _answer(machine.cuEventSynchronize, hEvent)


def cuMemcpyHtoDAsync(dstDevice: int, srcHost: int, ByteCount: int, hStream: int) -> Any:
    return _answer(machine.cuMemcpyHtoDAsync, dstDevice, srcHost, ByteCount, hStream)


def cuMemcpyDtoHAsync(dstHost: int, srcDevice: int, ByteCount: int, hStream: int) -> Any:
    return _answer(machine.cuMemcpyDtoHAsync, dstHost, srcDevice, ByteCount, hStream)


def cuStreamBeginCapture(hStream: int, mode: CUstreamCaptureMode) -> Any:
    return _answer(machine.cuStreamBeginCapture, hStream, mode)


def cuStreamEndCapture(hStream: int) -> Any:
    return _answer(machine.cuStreamEndCapture, hStream)


def cuGraphInstantiate(hGraph: int, flags: int) -> Any:
    return _answer(machine.cuGraphInstantiate, hGraph)


def cuGraphDestroy(hGraph: int) -> Any:
    return _answer(machine.cuGraphDestroy, hGraph)


def cuGraphLaunch(hGraphExec: int, hStream: int) -> Any:
    return _answer(machine.cuGraphLaunch, hGraphExec, hStream)


def cuGraphExecDestroy(hGraphExec: int) -> Any:
    return _answer(machine.cuGraphExecDestroy, hGraphExec)


def cuModuleLoadData(image: int) -> Any:
    return _answer(modules.cuModuleLoadData, image)


def cuModuleGetFunction(hmod: int, name: bytes) -> Any:
    return _answer(modules.cuModuleGetFunction, hmod, name.decode())


def cuModuleUnload(hmod: int) -> Any:
    return _answer(modules.cuModuleUnload, hmod)


def cuLaunchKernel(
    f: int,
    gridDimX: int,
    gridDimY: int,
    gridDimZ: int,
    blockDimX: int,
    blockDimY: int,
    blockDimZ: int,
    sharedMemBytes: int,
    hStream: int,
    kernelParams: int,
    extra: int,
) -> Any:
    grid, block = (gridDimX, gridDimY, gridDimZ), (blockDimX, blockDimY, blockDimZ)
    first = ctypes.c_void_p.from_address(kernelParams).value
    parameters = ctypes.string_at(first, JOB.itemsize)
    return _answer(
        modules.cuLaunchKernel, f, grid, block, sharedMemBytes, hStream, parameters
    )  # fmt: skip
