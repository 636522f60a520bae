# SPDX-License-Identifier: Apache-2.0
"""The few calls of the CUDA driver that are needed here, whichever Python package brings them.

Handles belong to one thread: they are made, used and freed in it. PyCUDA cannot do otherwise (its
objects remember context and thread, documen.tician.de/pycuda/driver.html), so no one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

# CU_STREAM_NON_BLOCKING of cuda.h: work on the default stream, which other libraries use, does not
# wait for ours, nor ours for it. PyCUDA has no name for it.
NON_BLOCKING = 1

Dim3 = tuple[int, int, int]  # x, y, z


@dataclass(frozen=True)
class GpuIdentity:
    """The properties of a GPU that an engine, or the way to run it, may depend on.

    Attributes:
        name: The GPU's name as the driver gives it.
        compute_capability: E.g. `8.7`.
        multiprocessor_count: What tells the modules of one name apart: every Orin is "Orin".
        is_integrated: Whether it shares the host's memory, as on a Jetson.
        total_memory: In bytes; all of the host's where it is shared.
    """

    name: str
    compute_capability: str
    multiprocessor_count: int
    is_integrated: bool
    total_memory: int


class PrimaryContext(Protocol):
    """A device's primary context, retained."""

    def push(self) -> None:
        """Make it the current context of this thread."""

    def pop(self) -> None:
        """Make the one current again that was before."""

    def release(self) -> None:
        """Give it back; it is then on no stack of this thread that it was not on before."""


class DeviceMemory(Protocol):
    """Memory on the GPU.

    Attributes:
        address: On the device.
    """

    address: int

    def free(self) -> None:
        """Free it now."""


class PinnedMemory(Protocol):
    """Page-locked memory of the host.

    Attributes:
        array: The memory as NumPy sees it, until it is freed.
        address: On the device; 0 unless it was mapped there.
    """

    array: NDArray[Any]
    address: int

    def free(self) -> None:
        """Free it now; what still refers to the array must not be read."""


class Graph(Protocol):
    """Work that was captured, ready to be launched as a whole."""

    def launch(self) -> None:
        """Queue it on the stream it was captured from."""

    def free(self) -> None:
        """Destroy it."""


class Kernel(Protocol):
    """A function of a module, as `DriverStream.launch` takes it."""


class Module(Protocol):
    """Machine code, loaded into the current context."""

    def kernel(self, name: str) -> Kernel:
        """A kernel of it, which holds as long as the module does."""
        ...

    def free(self) -> None:
        """Unload it; its kernels must have run."""


class DriverStream(Protocol):
    """A stream that does not wait for the default stream.

    Attributes:
        handle: As TensorRT takes it.
    """

    handle: int

    def upload(self, address: int, pinned: NDArray[Any]) -> None:
        """Queue a copy of a page-locked array to the device."""

    def download(self, pinned: NDArray[Any], address: int) -> None:
        """Queue a copy from the device into a page-locked array."""

    def wait_for(self, event: DriverEvent) -> None:
        """Let what is queued from now on begin when the event's last mark is reached.

        The host does not wait, and a later mark of the event changes nothing.
        """

    def launch(self, kernel: Kernel, grid: Dim3, block: Dim3, argument: np.void) -> None:
        """Queue a kernel that takes one struct by value, which is copied here and now.

        Args:
            kernel: What to run.
            grid: Blocks along x, y and z.
            block: Threads of a block along x, y and z.
            argument: Of a dtype laid out as the kernel's struct is.
        """

    def begin_capture(self) -> None:
        """Record what is queued from now on instead of doing it.

        Other threads may use CUDA meanwhile as they like (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).
        """

    def end_capture(self) -> Graph:
        """What was recorded, as a graph; also to be called when recording failed."""

    def free(self) -> None:
        """Destroy it."""


class DriverEvent(Protocol):
    """A mark on a stream, for the host to wait for without spinning, or for another stream."""

    def record(self, stream: DriverStream) -> None:
        """Mark the end of what is on the stream."""

    def wait(self) -> None:
        """Sleep until the mark is reached; other threads run meanwhile."""

    def free(self) -> None:
        """Destroy it."""


class CudaDriver(Protocol):
    """The driver, started.

    Attributes:
        name: The package's name for pip.
        can_capture: Whether streams can be captured.
        error: What every call may raise.
        out_of_memory: The kind of it that says so.
    """

    name: str
    can_capture: bool
    error: type[Exception]
    out_of_memory: type[Exception]

    def count_devices(self) -> int:
        """The number of GPUs that this process may use."""
        ...

    def version(self) -> int:
        """The newest CUDA that the driver knows: 12040 is 12.4."""
        ...

    def identify(self, device_id: int) -> GpuIdentity:
        """What a GPU is; makes no context."""
        ...

    def retain_context(self, device_id: int) -> PrimaryContext:
        """Start CUDA on a device; its context is not made current."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """Bytes free and in all on the current context's device."""
        ...

    def allocate(self, size: int) -> DeviceMemory:
        """Memory on the device, in bytes."""
        ...

    def allocate_pinned(
        self, shape: tuple[int, ...], dtype: DTypeLike, mapped: bool
    ) -> PinnedMemory:
        """Page-locked memory; `mapped`: with an address on the device."""
        ...

    def load_module(self, image: bytes) -> Module:
        """Load machine code (a cubin) for this GPU into the current context."""
        ...

    def make_stream(self) -> DriverStream:
        """A stream of the current context."""
        ...

    def make_event(self) -> DriverEvent:
        """An event of the current context."""
        ...
