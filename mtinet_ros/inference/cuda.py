# SPDX-License-Identifier: Apache-2.0
"""The one module that knows PyCUDA: a device's primary context, a stream, pinned buffers.

Everything here belongs to one thread. PyCUDA objects remember the context and the thread they
were made in and cannot be freed from another one (documen.tician.de/pycuda/driver.html, and
`context_dependent` in its cuda.hpp), so `DeviceContext.__init__`, every use and `release` happen
in the same thread. `pycuda.autoinit` is never imported: it would make a context of its own in
whatever thread came first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from numpy.typing import DTypeLike, NDArray

from mtinet_ros.errors import BackendError, BackendUnavailableError

_INSTALL = "pip install pycuda"
_DRIVER_LIBRARY = "libcuda.so.1"
# CU_STREAM_NON_BLOCKING of cuda.h, which PyCUDA has no name for: work on the default stream, which
# other libraries use, does not wait for ours, nor ours for it.
_NON_BLOCKING = 1


@dataclass(frozen=True)
class GpuIdentity:
    """The properties of a GPU that an engine may depend on.

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


def check_device(device_id: int) -> None:
    """Hold a device number against the CUDA devices of this machine; makes no context.

    Raises:
        BackendUnavailableError: PyCUDA, the driver or the device is missing.
    """
    driver = _driver()
    try:
        count = driver.Device.count()
    except driver.Error as error:
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
        driver = _driver()
        device = driver.Device(device_id)
        major, minor = device.compute_capability()
        attribute = driver.device_attribute
        return GpuIdentity(
            device.name(),
            f"{major}.{minor}",
            device.get_attribute(attribute.MULTIPROCESSOR_COUNT),
            bool(device.get_attribute(attribute.INTEGRATED)),
            device.total_memory(),
        )


@contextmanager
def cuda_errors(doing: str) -> Iterator[None]:
    """Turn PyCUDA's errors inside the block into `BackendError` with what to do.

    Args:
        doing: The operation, for the message: "CUDA failed to <doing>: …".
    """
    driver = _pycuda()
    try:
        yield
    except driver.Error as error:
        advice = ""
        if isinstance(error, driver.MemoryError):
            advice = (
                "; the GPU is out of memory: end other programs on it (nvidia-smi), or lower "
                "max_batch or workspace_mb"
            )
        raise BackendError(f"CUDA failed to {doing}: {error}{advice}") from error


class DeviceContext:
    """The primary context of a device, retained; current only inside a `with` block.

    The primary context is the one that TensorRT (through the CUDA runtime API) and every
    well-behaved library in this process share. Making it current for each use and taking it away
    afterwards leaves another CUDA user of the thread in peace.

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
            self._context: Any = _driver().Device(device_id).retain_primary_context()

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
        self._context.pop()

    def release(self) -> None:
        """Give the primary context back. Everything made in it must be free already.

        It is pushed first because `detach` of a context that is not current leaves it behind on
        the driver's stack, on top of whatever another user had there (PyCUDA 2026.1, cuda.hpp,
        `context::detach`: "pop is implicit in detach" does not hold for a primary context).
        """
        context, self._context = self._context, None
        with cuda_errors("give its context back"):
            try:
                context.push()
            finally:
                context.detach()


class Stream:
    """A stream of its own with one event to wait on without spinning."""

    def __init__(self) -> None:
        """Make both in the current context."""
        self._driver = _driver()
        flags = self._driver.event_flags.BLOCKING_SYNC | self._driver.event_flags.DISABLE_TIMING
        with cuda_errors("make a stream"):
            # The event first: should the stream fail, nothing is left behind but this object.
            self._done: Any = self._driver.Event(flags)
            self._stream: Any = self._driver.Stream(_NON_BLOCKING)
        self.handle: int = self._stream.handle

    def wait(self) -> None:
        """Sleep until all work put on the stream so far is done; other threads run meanwhile."""
        self._done.record(self._stream)
        self._done.synchronize()

    def upload(self, address: Any, pinned: NDArray[Any]) -> None:
        """Queue a copy of a pinned array to device memory."""
        self._driver.memcpy_htod_async(address, pinned, self._stream)

    def download(self, pinned: NDArray[Any], address: Any) -> None:
        """Queue a copy of device memory into a pinned array."""
        self._driver.memcpy_dtoh_async(pinned, address, self._stream)

    def free(self) -> None:
        """Destroy event and stream by dropping the last references to them."""
        self._done = None
        self._stream = None


class Buffer:
    """Page-locked host memory and device memory of the same size, one row per image.

    Attributes:
        host: Views of the first 1, 2, … rows, made once so that using them allocates nothing.
        address: Of the device memory.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Allocate in the current context.

        Args:
            shape: [max_batch, …].
            dtype: Of both sides.

        Raises:
            BackendError: There is not enough memory.
        """
        driver = _driver()
        with cuda_errors("allocate pinned memory"):
            array: NDArray[Any] = driver.pagelocked_empty(shape, dtype)
        pinned: Any = array.base
        self._pinned = pinned
        try:
            with cuda_errors(f"allocate {array.nbytes / 1e6:.1f} MB on the GPU"):
                self._device: Any = driver.mem_alloc(array.nbytes)
        except BackendError:
            # Now and here: a traceback may keep the array alive into another thread.
            pinned.free()
            raise
        self.host = tuple(array[: rows + 1] for rows in range(shape[0]))
        self.address = int(self._device)

    def upload(self, rows: int, stream: Stream) -> None:
        """Queue a copy of the first `rows` rows to the device."""
        stream.upload(self._device, self.host[rows - 1])

    def download(self, rows: int, stream: Stream) -> None:
        """Queue a copy of the first `rows` rows from the device."""
        stream.download(self.host[rows - 1], self._device)

    def free(self) -> None:
        """Free both sides now; arrays that were handed out end here."""
        self.host = ()
        with cuda_errors("free a buffer"):
            try:
                self._device.free()
            finally:
                self._pinned.free()


def device_memory_used() -> int:
    """Bytes in use on the current context's device, by all processes."""
    free, total = _driver().mem_get_info()
    return int(total) - int(free)


def _pycuda() -> Any:
    """`pycuda.driver`, imported.

    Raises:
        BackendUnavailableError: It is not installed or does not load, or there is no driver.
    """
    try:
        import pycuda.driver as driver
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            "pycuda is not installed", f"`{_INSTALL}` brings it"
        ) from error
    except ImportError as error:
        if _driver_library_loads():
            raise BackendUnavailableError(
                f"pycuda is installed but does not load: {error}",
                f"`{_INSTALL} --force-reinstall` builds it for the CUDA that is here",
            ) from error
        raise BackendUnavailableError(
            f"there is no NVIDIA driver here ({error})",
            "install it, or give the container the GPU (--runtime nvidia, --gpus all)",
        ) from error
    return driver


def _driver_library_loads() -> bool:
    """Whether the driver's library, which PyCUDA links to, is on this machine."""
    try:
        ctypes.CDLL(_DRIVER_LIBRARY)
    except OSError:
        return False
    return True


def _driver() -> Any:
    """`pycuda.driver`, initialised (cuInit is idempotent).

    Raises:
        BackendUnavailableError: See `_pycuda`; or there is no GPU.
    """
    driver = _pycuda()
    try:
        driver.init()
    except driver.Error as error:
        raise BackendUnavailableError(
            f"CUDA does not start ({error})", "see whether nvidia-smi lists the GPU"
        ) from error
    return driver
