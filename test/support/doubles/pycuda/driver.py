# SPDX-License-Identifier: Apache-2.0
"""A double of `pycuda.driver` that is stricter than the real one and needs no GPU.

Its rules: "Driver" is NVIDIA's CUDA Driver API manual, "Guide" its CUDA C++ Programming Guide,
"PyCUDA" documen.tician.de/pycuda/driver.html and the source it describes (2026.1, cuda.hpp).

1. `init` comes first (Driver, cuInit: CUDA_ERROR_NOT_INITIALIZED).
2. Most calls need a context that is current in the calling thread (Driver, Context Management:
   CUDA_ERROR_INVALID_CONTEXT). A retained primary context is not current (Driver,
   cuDevicePrimaryCtxRetain: "the newly retained context is not pushed onto the stack").
3. Device memory is apart from host memory; an address is no pointer of ours.
4. Work on a stream is done in order and no earlier than somebody waits (Guide, Asynchronous
   Concurrent Execution): here exactly then, so that reading too early shows.
5. An asynchronous copy needs page-locked memory to be asynchronous (Driver, API synchronization
   behavior; Guide, Page-Locked Host Memory). The real one makes it slow; this one refuses.
6. Touching memory that was freed is CUDA_ERROR_ILLEGAL_ADDRESS at the next wait, and every call
   after it fails too: "the process must be terminated and relaunched" (Driver, CUresult).
7. Objects are freed in the thread and while the context lives that they were made in (PyCUDA,
   context_dependent: "out-of-thread context could not be cleaned up"). Else it is recorded.
8. A primary context is detached while current, once nothing of it is left (PyCUDA,
   context::detach), and a thread must not end with one pushed (PyCUDA, ~context_stack aborts).
9. Waiting sleeps only on an event made with BLOCKING_SYNC (Driver, cuEventCreate), and a stream is
   independent of others' default stream only if NON_BLOCKING, 1 (Driver, cuStreamCreate).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from operator import setitem
from typing import Any

import numpy as np


class Error(Exception): ...


MemoryError, LogicError, LaunchError = (
    type(name, (Error,), {}) for name in ("MemoryError", "LogicError", "LaunchError")
)


class event_flags:  # noqa: N801
    BLOCKING_SYNC = 1
    DISABLE_TIMING = 2


class device_attribute:  # noqa: N801
    MULTIPROCESSOR_COUNT = "multiprocessors"
    INTEGRATED = "integrated"


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    integrated: bool
    memory: int


RTX = Gpu("NVIDIA GeForce RTX 4070", (8, 9), 46, False, 12 * 2**30)
ORIN = Gpu("Orin", (8, 7), 16, True, 64 * 2**30)


class Machine:
    """The GPU and its driver: what exists, what was called, what shall fail."""

    def __init__(self) -> None:
        self.gpus = [RTX]
        self.initialized = False
        self.retained = 0
        self.stacks: defaultdict[int, list[Context]] = defaultdict(list)
        self.memory: dict[int, bytearray] = {}
        self.pinned: dict[int, PagelockedHostAllocation] = {}
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.alive: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []
        self.violations: list[str] = []
        self.faults: dict[str, tuple[Exception | None, int, bool]] = {}
        self.broken = ""
        self.runtime_config: Any = None
        # Where the double of TensorRT finds sidecars: the default cache.
        self.engine_folder = f"{os.environ.get('XDG_CACHE_HOME')}/mtinet_ros"

    def fail(self, call: str, error: Exception | None, nth: int = 1, lose: bool = False) -> None:
        """Let the nth next call of a function raise (or, without an error, answer no).

        With `lose`, the context is broken from then on (rule 6).
        """
        self.faults[call] = (error, self.calls[call] + nth, lose)

    def enter(self, call: str, context: bool = True) -> bool:
        """Every call of the driver and of TensorRT passes here; True: it shall answer no."""
        self.calls[call] += 1
        if not self.initialized:
            raise LogicError(f"{call} failed: initialization error")
        if context and not self.stack():
            raise LogicError(f"{call} failed: invalid device context")
        if self.broken:
            raise LaunchError(f"{call} failed: {self.broken}")
        if self.faults.get(call, (None, 0))[1] != self.calls[call]:
            return False
        error, _, lose = self.faults.pop(call)
        self.broken = str(error) if lose else ""
        if error is not None:
            raise error
        return True

    def stack(self) -> list[Context]:
        return self.stacks[threading.get_ident()]

    def born(self, kind: str, thing: object) -> None:
        """Watch an object that is freed when its last reference goes."""
        self.alive[kind] += 1
        weakref.finalize(thing, self._dropped, kind, threading.get_ident())

    def _dropped(self, kind: str, thread: int) -> None:
        self.order.append(kind)
        self.alive[kind] -= 1
        if threading.get_ident() != thread or not self.stack():
            self.violations.append(f"{kind} dropped in a wrong thread or without its context")

    def leftovers(self) -> list[str]:
        """What was broken or left behind, in words; empty when all was given back."""
        left = dict(self.alive) | {
            "device allocations": len(self.memory),
            "pinned allocations": len(self.pinned),
            "retained contexts": self.retained,
            "contexts pushed": sum(map(len, self.stacks.values())),
        }
        return [f"{count} {kind}" for kind, count in left.items() if count] + self.violations

    def at(self, address: int, size: int) -> memoryview:
        """Device memory, for work on the device only (rules 3 and 6)."""
        if len(self.memory.get(address, b"")) < size:
            self.broken = "an illegal memory access was encountered"
            raise LaunchError(f"cuEventSynchronize failed: {self.broken}")
        return memoryview(self.memory[address])[:size]


machine = Machine()


def init(flags: int = 0) -> None:
    machine.initialized = True
    machine.enter("init", context=False)


class Device:
    def __init__(self, number: int) -> None:
        machine.enter("Device", context=False)
        self._gpu = machine.gpus[number]

    def name(self) -> str:
        return self._gpu.name

    def compute_capability(self) -> tuple[int, int]:
        return self._gpu.capability

    def get_attribute(self, attribute: str) -> int:
        machine.enter("Device.get_attribute", context=False)
        return int(getattr(self._gpu, attribute))

    def total_memory(self) -> int:
        machine.enter("Device.total_memory", context=False)
        return self._gpu.memory

    @staticmethod
    def count() -> int:
        machine.enter("Device.count", context=False)
        return len(machine.gpus)

    def retain_primary_context(self) -> Context:
        machine.enter("Device.retain_primary_context", context=False)
        machine.retained += 1
        return Context()


class Context:
    def push(self) -> None:
        machine.enter("Context.push", context=False)
        machine.stack().append(self)

    @staticmethod
    def pop() -> None:
        if not machine.stack():
            raise LogicError("context::pop failed: invalid device context")
        machine.stack().pop()

    def detach(self) -> None:
        if machine.stack()[-1:] == [self]:
            machine.stack().pop()
        elif not machine.broken:
            machine.violations.append("a context was detached while not current (rule 8)")
        if any(machine.alive.values()) or machine.memory or machine.pinned:
            machine.violations.append("a context was detached before all of it was free (rule 7)")
        machine.retained -= 1
        machine.order.append("primary context")


class Stream:
    def __init__(self, flags: int = 0) -> None:
        machine.enter("Stream")
        machine.violations += [] if flags == 1 else ["a stream that waits for the default stream"]
        self.handle = 0x5000 + machine.calls["Stream"]
        self.queue: list[Callable[[], None]] = []
        machine.streams[self.handle] = self
        machine.born("stream", self)


class Event:
    def __init__(self, flags: int = 0) -> None:
        machine.enter("Event")
        self._blocking = flags & event_flags.BLOCKING_SYNC
        self._recorded: list[Callable[[], None]] = []
        machine.born("event", self)

    def record(self, stream: Stream) -> Event:
        machine.enter("Event.record")
        self._recorded, stream.queue = stream.queue, []
        return self

    def synchronize(self) -> Event:
        machine.enter("Event.synchronize")
        if not self._blocking:
            machine.violations.append("waiting would spin")
        while self._recorded:
            self._recorded.pop(0)()
        return self


class DeviceAllocation(int):
    def free(self) -> None:
        machine.enter("DeviceAllocation.free")
        del machine.memory[self]
        machine.order.append("device memory")


class PagelockedHostAllocation:
    def __init__(self, shape: Any, dtype: Any) -> None:
        self._memory = np.empty(shape, dtype)
        self.__array_interface__ = self._memory.__array_interface__
        machine.pinned[self._memory.ctypes.data] = self

    def free(self) -> None:
        machine.enter("PagelockedHostAllocation.free")
        del machine.pinned[self._memory.ctypes.data]
        self._memory.view(np.uint8)[...] = 0xDD  # so that reading it afterwards shows
        machine.order.append("pinned memory")


def mem_alloc(bytes: int) -> DeviceAllocation:
    machine.enter("mem_alloc")
    address = 0x7F00_0000_0000 + (machine.calls["mem_alloc"] << 32)
    machine.memory[address] = bytearray(bytes)
    return DeviceAllocation(address)


def mem_get_info() -> tuple[int, int]:
    machine.enter("mem_get_info")
    return 2**33 - sum(map(len, machine.memory.values())), 2**33


def pagelocked_empty(shape: Any, dtype: Any) -> Any:
    machine.enter("pagelocked_empty")
    return np.asarray(PagelockedHostAllocation(shape, dtype))


def memcpy_htod_async(dest: int, src: Any, stream: Stream) -> None:
    machine.enter("memcpy_htod_async")
    host = _pinned(src)
    stream.queue.append(lambda: setitem(machine.at(dest, host.nbytes), slice(None), host))


def memcpy_dtoh_async(dest: Any, src: int, stream: Stream) -> None:
    machine.enter("memcpy_dtoh_async")
    host = _pinned(dest)
    stream.queue.append(lambda: setitem(host, slice(None), machine.at(src, host.nbytes)))


def _pinned(array: Any) -> memoryview:
    if array.ctypes.data not in machine.pinned:
        raise LogicError("an asynchronous copy needs page-locked memory (rule 5)")
    return memoryview(array).cast("B")
