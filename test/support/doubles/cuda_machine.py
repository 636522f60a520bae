# SPDX-License-Identifier: Apache-2.0
"""A double of the CUDA driver that is stricter than the real one and needs no GPU.

`pycuda.driver` and `cuda.bindings.driver` beside it are thin skins over this one machine, to which
`cuda_modules` adds kernels and NVRTC. Its
rules: "Driver" is NVIDIA's CUDA Driver API manual, "Guide" its CUDA C++ Programming Guide.

1. `cuInit` comes first (Driver, cuInit: CUDA_ERROR_NOT_INITIALIZED).
2. Most calls need a context that is current in the calling thread, the top of a stack that each
   thread has (Driver, Context Management: CUDA_ERROR_INVALID_CONTEXT).
3. Retaining a primary context does not push it, and releasing it "does not pop the context from
   stack in any circumstances" (Driver, cuDevicePrimaryCtxRetain, …Release). The last release
   destroys it; where it is still on a stack, its use is CUDA_ERROR_CONTEXT_IS_DESTROYED.
4. Device memory is apart from host memory; an address is no pointer of ours. Page-locked memory
   has an address on the device only if it was made with DEVICEMAP (Driver,
   cuMemHostGetDevicePointer).
5. Work on a stream is done in order and no earlier than somebody waits (Guide, Asynchronous
   Concurrent Execution): here exactly then, so that reading or overwriting too early shows.
6. An asynchronous copy needs page-locked memory to be asynchronous (Driver, API synchronization
   behavior; Guide, Page-Locked Host Memory). The real one makes it slow; this one refuses.
7. Touching memory that was freed is CUDA_ERROR_ILLEGAL_ADDRESS at the next wait, and every call
   after it fails too: "the process must be terminated and relaunched" (Driver, CUresult).
8. What was made in a context is freed before the context is destroyed; else it is recorded.
9. Waiting sleeps only on an event made with BLOCKING_SYNC (Driver, cuEventCreate), and a stream is
   independent of others' default stream only if NON_BLOCKING (Driver, cuStreamCreate).
10. While a stream is capturing, work on it is recorded and not done (Driver,
    cuStreamBeginCapture). Waiting for it, and in the modes GLOBAL and THREAD_LOCAL whatever may
    allocate or free in the same thread, is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED and spoils the
    capture, whose end then gives CUDA_ERROR_STREAM_CAPTURE_INVALIDATED and no graph (Guide,
    Prohibited and Unhandled Operations; Driver, cuThreadExchangeStreamCaptureMode). GLOBAL forbids
    them to every other thread, too. The capture ends in the thread where it began (Driver,
    cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD).
11. A graph is instantiated before it is launched, and its work uses the addresses of the capture
    (Driver, cuGraphInstantiate, cuGraphLaunch); both are destroyed by themselves.
12. Streams know nothing of each other. What follows a `cuStreamWaitEvent` comes after what the
    event marked when it was called; an event that was never recorded is no wait (Driver,
    cuStreamWaitEvent). Work that touches what other work writes, or writes what other work reads,
    comes after it by the order of a stream, by such a wait, or by the host's wait; else it is
    recorded as a race, whether or not it would have shown.
13. A stream that is captured waits for no event from outside the capture: it is
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION and spoils it (Guide, Cross-stream Dependencies and
    Events). Captures that other streams join are not modeled.
"""

# ruff: noqa: N802  # the names are the driver's

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from cuda_ordering import Clock, Ordering, Range

Work = Callable[[], None]


class Result(IntEnum):
    """Of CUresult, what is needed here."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NOT_INITIALIZED = 3
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_DEVICE = 101
    CUDA_ERROR_INVALID_IMAGE = 200
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_ILLEGAL_STATE = 401
    CUDA_ERROR_NOT_FOUND = 500
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_CONTEXT_IS_DESTROYED = 709
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905
    CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908
    CUDA_ERROR_UNKNOWN = 999

    @property
    def words(self) -> str:
        """As cuGetErrorString has it, more or less."""
        return self.name.removeprefix("CUDA_ERROR_").lower().replace("_", " ")


class Fault(Exception):  # noqa: N818
    """A call of the driver that failed."""

    def __init__(self, call: str, result: Result) -> None:
        super().__init__(f"{call} failed: {result.words}")
        self.call, self.result = call, result


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    integrated: bool
    memory: int


RTX = Gpu("NVIDIA GeForce RTX 4070", (8, 9), 46, False, 12 * 2**30)
ORIN = Gpu("Orin", (8, 7), 16, True, 64 * 2**30)

GLOBAL, THREAD_LOCAL, RELAXED = range(3)  # CUstreamCaptureMode


@dataclass(frozen=True)
class Task:
    """Work on the device, in words, with the memory that it touches."""

    work: Work
    doing: str
    reads: tuple[Range, ...] = ()
    writes: tuple[Range, ...] = ()


@dataclass
class Capture:
    mode: int
    thread: int
    tasks: list[Task] = field(default_factory=list)
    is_spoiled: bool = False


@dataclass
class Stream:
    handle: int
    done: int = 0
    queue: list[Work] = field(default_factory=list)
    capture: Capture | None = None

    def put(
        self, work: Work, doing: str, reads: Sequence[Range] = (), writes: Sequence[Range] = ()
    ) -> None:
        """Queue work that touches memory, or record it (rules 10 and 12)."""
        self.put_task(Task(work, doing, tuple(reads), tuple(writes)))

    def put_task(self, task: Task) -> None:
        if self.capture:
            self.capture.tasks.append(task)
            return
        races = machine.ordering.queued(self.handle, task.doing, task.reads, task.writes)
        machine.violations += races
        self.queue.append(task.work)

    @property
    def end(self) -> int:
        """The number of works once all in the queue are done."""
        return self.done + len(self.queue)

    def work_up_to(self, count: int) -> None:
        while self.done < count:
            self.done += 1
            self.queue.pop(0)()


@dataclass
class Event:
    is_blocking: bool
    stream: Stream | None = None
    count: int = 0
    mark: Clock = field(default_factory=Counter)


class Machine:
    """The GPUs and their driver: what exists, what was called, what shall fail."""

    def __init__(self) -> None:
        self.gpus = [RTX]
        self.initialized = False
        self.retained: Counter[int] = Counter()
        self.primary: dict[int, int] = {}  # device -> its context
        self.stacks: defaultdict[int, list[int]] = defaultdict(list)
        self.memory: dict[int, Any] = {}
        self.pinned: dict[int, np.ndarray] = {}
        self.mapped: dict[int, int] = {}  # host address -> device address
        self.streams: dict[int, Stream] = {}
        self.events: dict[int, Event] = {}
        self.graphs: dict[int, list[Task]] = {}
        self.executables: dict[int, list[Task]] = {}
        self.modules: dict[int, str] = {}  # the source of each
        self.programs: dict[int, Any] = {}  # of NVRTC
        self.ordering = Ordering()
        self.alive: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []
        self.violations: list[str] = []
        self.faults: dict[str, tuple[Result | None, int, bool]] = {}
        self.broken: Result | None = None
        self.runtime_config: Any = None
        self._last_handle = 0x1000
        # Where the double of TensorRT finds sidecars: the default cache.
        self.engine_folder = f"{os.environ.get('XDG_CACHE_HOME')}/mtinet_ros"

    # What tests ask and ask for.

    def fail(
        self, call: str, result: Any = "LAUNCH_FAILED", nth: int = 1, lose: bool = False
    ) -> None:
        """Let the nth next call of a function fail (or, with None, answer no).

        With `lose`, the context is broken from then on (rule 7).
        """
        code = None if result is None else Result[f"CUDA_ERROR_{result}"]
        self.faults[call] = (code, self.calls[call] + nth, lose)

    def leftovers(self) -> list[str]:
        """What was broken or left behind, in words; empty when all was given back."""
        left = dict(self.alive) | {
            "device allocations": len(self.memory),
            "pinned allocations": len(self.pinned),
            "streams": len(self.streams),
            "events": len(self.events),
            "graphs": len(self.graphs) + len(self.executables),
            "modules": len(self.modules),
            "programs": len(self.programs),
            "retained contexts": self.retained.total(),
            "contexts pushed": sum(map(len, self.stacks.values())),
        }
        return [f"{count} {kind}" for kind, count in left.items() if count] + self.violations

    def abandon(self) -> None:
        """Forget what a broken context keeps: the driver frees it when the process ends."""
        kept = (self.memory, self.pinned, self.mapped, self.streams, self.events, self.graphs)
        for things in (*kept, self.executables, self.modules, self.retained, self.stacks):
            things.clear()
        self.violations.clear()

    def stack(self) -> list[int]:
        """The contexts of this thread, the current one last."""
        return self.stacks[threading.get_ident()]

    # What the doubles share.

    def enter(self, call: str, context: bool = True, unsafe: bool = False) -> bool:
        """Every call of the driver and of TensorRT passes here; True: it shall answer no.

        Args:
            call: Its name.
            context: Whether it needs a current context (rule 2).
            unsafe: Whether it may allocate or wait, which captures forbid (rule 10).
        """
        self.calls[call] += 1
        if not self.initialized:
            raise Fault(call, Result.CUDA_ERROR_NOT_INITIALIZED)
        if context:
            if not self.stack():
                raise Fault(call, Result.CUDA_ERROR_INVALID_CONTEXT)
            if self.stack()[-1] not in self.primary.values():
                raise Fault(call, Result.CUDA_ERROR_CONTEXT_IS_DESTROYED)
        if self.broken:
            raise Fault(call, self.broken)
        if unsafe:
            self._hold_against_captures(call)
        if self.faults.get(call, (None, 0))[1] != self.calls[call]:
            return False
        result, _, lose = self.faults.pop(call)
        self.broken = result if lose else None
        if result is not None:
            raise Fault(call, result)
        return True

    def _hold_against_captures(self, call: str) -> None:
        here = threading.get_ident()
        spoiled = [
            stream.capture
            for stream in self.streams.values()
            if stream.capture
            and (stream.capture.mode == GLOBAL
                 or (stream.capture.mode == THREAD_LOCAL and stream.capture.thread == here))
        ]  # fmt: skip
        for capture in spoiled:
            capture.is_spoiled = True
        if spoiled:
            raise Fault(call, Result.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)

    def new_handle(self) -> int:
        self._last_handle += 0x100
        return self._last_handle

    def born(self, kind: str, thing: object) -> None:
        """Watch an object of TensorRT that is freed when its last reference goes."""
        self.alive[kind] += 1
        weakref.finalize(thing, self._dropped, kind, threading.get_ident())

    def _dropped(self, kind: str, thread: int) -> None:
        self.order.append(kind)
        self.alive[kind] -= 1
        if threading.get_ident() != thread or not self.stack():
            self.violations.append(f"{kind} dropped in a wrong thread or without its context")

    def at(self, address: int, size: int) -> memoryview:
        """Device memory, for work on the device only (rules 4 and 7)."""
        return self._within(self.memory, address, size)

    def host(self, address: int, size: int) -> memoryview:
        """Page-locked memory, for the copies of the device (rules 6 and 7)."""
        return self._within(self.pinned, address, size)

    def _within(self, places: dict[int, Any], address: int, size: int) -> memoryview:
        for start, place in places.items():
            offset = address - start
            if offset >= 0 and offset + size <= len(place):
                return memoryview(place)[offset : offset + size]
        self.broken = Result.CUDA_ERROR_ILLEGAL_ADDRESS
        raise Fault("cuEventSynchronize", self.broken)

    # The driver: contexts.

    def cuInit(self) -> None:
        self.initialized = True
        self.enter("cuInit", context=False)

    def cuDriverGetVersion(self) -> int:
        self.enter("cuDriverGetVersion", context=False)
        return 13000

    def cuDeviceGetCount(self) -> int:
        self.enter("cuDeviceGetCount", context=False)
        return len(self.gpus)

    def gpu(self, device: int, call: str = "cuDeviceGet") -> Gpu:
        self.enter(call, context=False)
        if not 0 <= device < len(self.gpus):
            raise Fault(call, Result.CUDA_ERROR_INVALID_DEVICE)
        return self.gpus[device]

    def cuDevicePrimaryCtxRetain(self, device: int) -> int:
        self.enter("cuDevicePrimaryCtxRetain", context=False)
        if not self.retained[device]:
            self.primary[device] = self.new_handle()
        self.retained[device] += 1
        return self.primary[device]

    def cuDevicePrimaryCtxRelease(self, device: int) -> None:
        self.enter("cuDevicePrimaryCtxRelease", context=False)
        if not self.retained[device]:
            raise Fault("cuDevicePrimaryCtxRelease", Result.CUDA_ERROR_INVALID_CONTEXT)
        self.retained[device] -= 1
        self.order.append("primary context")
        if self.retained[device]:
            return
        del self.primary[device]
        things = (self.memory, self.pinned, self.streams, self.events, self.executables)
        if any(things) or self.modules or any(self.alive.values()):
            self.violations.append("a context was destroyed before all of it was free (rule 8)")

    def cuCtxPushCurrent(self, context: int) -> None:
        self.enter("cuCtxPushCurrent", context=False)
        if context not in self.primary.values():
            raise Fault("cuCtxPushCurrent", Result.CUDA_ERROR_CONTEXT_IS_DESTROYED)
        self.stack().append(context)

    def cuCtxPopCurrent(self) -> int:
        if not self.stack():
            raise Fault("cuCtxPopCurrent", Result.CUDA_ERROR_INVALID_CONTEXT)
        return self.stack().pop()

    # Memory.

    def cuMemGetInfo(self) -> tuple[int, int]:
        self.enter("cuMemGetInfo")
        total = self.gpus[0].memory
        return total - sum(map(len, self.memory.values())), total

    def cuMemAlloc(self, size: int) -> int:
        self.enter("cuMemAlloc", unsafe=True)
        address = 0x7F00_0000_0000 + (self.calls["cuMemAlloc"] << 32)
        self.memory[address] = bytearray(size)
        return address

    def cuMemFree(self, address: int) -> None:
        self.enter("cuMemFree", unsafe=True)
        if address not in self.memory:
            raise Fault("cuMemFree", Result.CUDA_ERROR_INVALID_VALUE)
        self.ordering.freed(address, len(self.memory.pop(address)))
        self.order.append("device memory")

    def cuMemHostAlloc(self, size: int, flags: int) -> int:
        self.enter("cuMemHostAlloc", unsafe=True)
        place = np.empty(size, np.uint8)
        address = place.ctypes.data
        self.pinned[address] = place
        if flags & 2:  # CU_MEMHOSTALLOC_DEVICEMAP
            self.mapped[address] = 0x6F00_0000_0000 + (self.calls["cuMemHostAlloc"] << 32)
        return address

    def cuMemHostGetDevicePointer(self, address: int) -> int:
        self.enter("cuMemHostGetDevicePointer")
        if address not in self.mapped:
            raise Fault("cuMemHostGetDevicePointer", Result.CUDA_ERROR_INVALID_VALUE)
        self.memory[self.mapped[address]] = self.pinned[address]
        return self.mapped[address]

    def cuMemFreeHost(self, address: int) -> None:
        self.enter("cuMemFreeHost", unsafe=True)
        if address not in self.pinned:
            raise Fault("cuMemFreeHost", Result.CUDA_ERROR_INVALID_VALUE)
        place = self.pinned.pop(address)
        place[...] = 0xDD  # so that reading it afterwards shows
        self.ordering.freed(address, len(place))
        self.memory.pop(self.mapped.pop(address, 0), None)
        self.order.append("pinned memory")

    # Streams and events.

    def cuStreamCreate(self, flags: int) -> int:
        self.enter("cuStreamCreate")
        self.violations += [] if flags == 1 else ["a stream that waits for the default stream"]
        handle = self.new_handle()
        self.streams[handle] = Stream(handle)
        return handle

    def cuStreamDestroy(self, handle: int) -> None:
        self.enter("cuStreamDestroy")
        del self.streams[handle]
        self.order.append("stream")

    def cuEventCreate(self, flags: int) -> int:
        self.enter("cuEventCreate")
        handle = self.new_handle()
        self.events[handle] = Event(bool(flags & 1))
        return handle

    def cuEventDestroy(self, handle: int) -> None:
        self.enter("cuEventDestroy")
        del self.events[handle]
        self.order.append("event")

    def cuEventRecord(self, event: int, stream: int) -> None:
        self.enter("cuEventRecord")
        place = self.streams[stream]
        recorded = self.events[event]
        recorded.stream, recorded.count = place, place.end
        recorded.mark = self.ordering.mark(stream)
        if place.capture:
            recorded.stream = None

    def cuEventSynchronize(self, event: int) -> None:
        self.enter("cuEventSynchronize", unsafe=True)
        recorded = self.events[event]
        if not recorded.is_blocking:
            self.violations.append("waiting would spin")
        if recorded.stream:
            recorded.stream.work_up_to(recorded.count)
            self.ordering.host_waits(recorded.mark)

    def cuStreamWaitEvent(self, stream: int, event: int) -> None:
        self.enter("cuStreamWaitEvent")
        place, recorded = self.streams[stream], self.events[event]
        if place.capture:
            place.capture.is_spoiled = True
            raise Fault("cuStreamWaitEvent", Result.CUDA_ERROR_STREAM_CAPTURE_ISOLATION)
        if recorded.stream is None:
            return
        other, count = recorded.stream, recorded.count
        self.ordering.wait(stream, recorded.mark)
        place.put(lambda: other.work_up_to(count), "a wait")

    def cuMemcpyHtoDAsync(self, device: int, host: int, size: int, stream: int) -> None:
        self.enter("cuMemcpyHtoDAsync")
        self._must_be_pinned("cuMemcpyHtoDAsync", host, size)

        def copy() -> None:
            self.at(device, size)[:] = self.host(host, size)

        self.streams[stream].put(copy, "an upload", [(host, size)], [(device, size)])

    def cuMemcpyDtoHAsync(self, host: int, device: int, size: int, stream: int) -> None:
        self.enter("cuMemcpyDtoHAsync")
        self._must_be_pinned("cuMemcpyDtoHAsync", host, size)

        def copy() -> None:
            self.host(host, size)[:] = self.at(device, size)

        self.streams[stream].put(copy, "a download", [(device, size)], [(host, size)])

    def _must_be_pinned(self, call: str, host: int, size: int) -> None:
        if not any(a <= host and host + size <= a + len(p) for a, p in self.pinned.items()):
            self.violations.append("an asynchronous copy of memory that is not page-locked")
            raise Fault(call, Result.CUDA_ERROR_INVALID_VALUE)

    # Graphs.

    def cuStreamBeginCapture(self, handle: int, mode: int) -> None:
        self.enter("cuStreamBeginCapture")
        stream = self.streams[handle]
        if stream.capture:
            raise Fault("cuStreamBeginCapture", Result.CUDA_ERROR_ILLEGAL_STATE)
        stream.capture = Capture(int(mode), threading.get_ident())

    def cuStreamEndCapture(self, handle: int) -> int:
        stream = self.streams[handle]
        capture = stream.capture
        if capture is None:
            raise Fault("cuStreamEndCapture", Result.CUDA_ERROR_ILLEGAL_STATE)
        if capture.mode != RELAXED and capture.thread != threading.get_ident():
            raise Fault("cuStreamEndCapture", Result.CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)
        stream.capture = None
        self.enter("cuStreamEndCapture")
        if capture.is_spoiled:
            raise Fault("cuStreamEndCapture", Result.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)
        graph = self.new_handle()
        self.graphs[graph] = capture.tasks
        return graph

    def cuGraphInstantiate(self, graph: int) -> int:
        self.enter("cuGraphInstantiate", unsafe=True)
        executable = self.new_handle()
        self.executables[executable] = list(self.graphs[graph])
        return executable

    def cuGraphDestroy(self, graph: int) -> None:
        del self.graphs[graph]
        self.enter("cuGraphDestroy", context=False)

    def cuGraphLaunch(self, executable: int, stream: int) -> None:
        self.enter("cuGraphLaunch")
        for task in self.executables[executable]:
            self.streams[stream].put_task(task)

    def cuGraphExecDestroy(self, executable: int) -> None:
        self.enter("cuGraphExecDestroy", context=False)
        del self.executables[executable]
        self.order.append("graph")


machine = Machine()
