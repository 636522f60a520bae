# SPDX-License-Identifier: Apache-2.0
"""Queues an engine's work on a stream: call by call, or as a CUDA graph.

NVIDIA's rules for graphs (TensorRT, Best Practices, "CUDA Graphs"): a shape is enqueued once
before it is captured, since that brings the context's inner state up to date; and each captured
graph has an execution context of its own, since a new shape would change that state. Contexts
share their scratch memory, which is theirs only while they run; all run on one stream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtinet_ros.errors import BackendError
from mtinet_ros.inference.cuda import DeviceBuffer, cuda_driver
from mtinet_ros.inference.cuda_driver import DriverStream, Graph
from mtinet_ros.inference.tensorrt_buffers import Binding
from mtinet_ros.inference.tensorrt_edition import Edition
from mtinet_ros.model_contract import INPUT_NAME

if TYPE_CHECKING:
    import tensorrt

logger = logging.getLogger("mtinet_ros.inference")

# A graph of a network of a thousand kernels takes megabytes: no more batch sizes have one for each
# binding; what comes later runs call by call. Bindings are as many as who runs the network made
# memory for: two where images are copied; with mapped memory two for each place of images, so that
# eight cameras and the node's three places have 48 graphs.
_MOST_SIZES = 16


@dataclass(frozen=True)
class Work:
    """What one run does after its upload.

    Attributes:
        batch: Images in it.
        binding: Where it reads and writes.
        turn: The set of buffers that it downloads to.
        names: The outputs that it downloads.
    """

    batch: int
    binding: Binding
    turn: int
    names: tuple[str, ...]

    @property
    def key(self) -> tuple[int, int]:
        """The same for work that one graph can do, which is the network alone."""
        return self.batch, id(self.binding)


def captures_graphs(edition: Edition, wanted: bool | None) -> bool:
    """Whether our own graphs are captured; RTX's runtime configuration has its own way.

    Where they are wanted (None: perhaps) and the package for CUDA cannot, the log says so.
    """
    if edition.is_rtx or wanted is False:
        return False
    driver = cuda_driver()
    if not driver.can_capture:
        logger.log(
            logging.WARNING if wanted else logging.INFO,
            "%s cannot capture CUDA graphs, so the network runs call by call; cuda-bindings "
            "(`pip install cuda-bindings`, without %s) can",
            driver.name,
            driver.name,
        )
    return driver.can_capture


class _BoundContext:
    """An execution context with the batch and the addresses that it was last given."""

    def __init__(self, context: tensorrt.IExecutionContext, fail: Callable[[str], BackendError]):
        self._context = context
        self._fail = fail
        self._batch = 0
        self._binding: Binding | None = None
        self.has_run = False

    def enqueue(self, work: Work, shape: tuple[int, ...], stream: DriverStream) -> None:
        if work.binding is not self._binding:
            self._binding = None
            for name, address in work.binding.addresses.items():
                if not self._context.set_tensor_address(name, address):
                    raise self._fail(f"take the address of {name}")
            self._binding = work.binding
        if work.batch != self._batch:
            self._batch = 0
            if not self._context.set_input_shape(INPUT_NAME, (work.batch, *shape)):
                raise self._fail(f"take a batch of {work.batch}")
            self._batch = work.batch
        if not self._context.execute_async_v3(stream.handle):
            self._batch = 0
            raise self._fail("run the network")
        self.has_run = True


class Execution:
    """The execution contexts of one engine, and the graphs captured from them."""

    def __init__(
        self,
        engine: tensorrt.ICudaEngine,
        edition: Edition,
        stream: DriverStream,
        runtime_config: Any,
        *,
        graphs: bool,
        lanes: int = 1,
    ) -> None:
        """Make the first context, in the current context of the device.

        Args:
            engine: The engine.
            edition: Its TensorRT.
            stream: For all work.
            runtime_config: RTX's `IRuntimeConfig`; None with `tensorrt`.
            graphs: Whether to capture graphs; `tensorrt` only.
            lanes: Number of bindings that runs take in turn: each has contexts of its own, so that
                addresses stay. RTX would capture anew each time that they change.

        Raises:
            BackendError: TensorRT makes none, or there is no memory. Nothing is left behind.
        """
        self._engine: tensorrt.ICudaEngine | None = engine
        self._edition = edition
        self._stream = stream
        self._runtime_config = runtime_config
        self._shape = tuple(engine.get_tensor_shape(INPUT_NAME))[1:]
        self._profiles = _profiles_of_single_batches(engine)
        self._capturing = graphs
        self._graphs: dict[tuple[int, int], Graph] = {}
        self._contexts: dict[tuple[int, int], _BoundContext] = {}
        self._scratch: DeviceBuffer | None = None
        if runtime_config is None and engine.device_memory_size_v2:
            self._scratch = DeviceBuffer(engine.device_memory_size_v2)
        # By optimization profile and lane; what runs call by call shares them.
        self._shared: dict[tuple[int, int], _BoundContext] = {}
        try:
            for lane in range(lanes):
                for profile in (0, *self._profiles.values()):
                    self._shared[profile, lane] = self._make_context(profile)
        except BaseException:
            self.free()
            raise

    def _make_context(self, profile: int) -> _BoundContext:
        assert self._engine is not None
        # The stubs describe `tensorrt`, where not all versions take both arguments.
        create: Any = self._engine.create_execution_context
        context: tensorrt.IExecutionContext | None
        if self._runtime_config is not None:
            context = create(self._runtime_config)
        elif self._scratch is not None:
            context = create(self._edition.trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        else:
            context = create()
        if context is None:
            raise self._fail("make an execution context")
        if self._scratch is not None:
            context.set_device_memory(self._scratch.address, self._scratch.size)
        # A new context has the first one; the change is done in the order of the stream.
        if profile and not context.set_optimization_profile_async(profile, self._stream.handle):
            raise self._fail(f"take the optimization profile {profile}")
        return _BoundContext(context, self._fail)

    @property
    def is_capturing(self) -> bool:
        """Whether graphs are captured: wanted, and not failed so far."""
        return self._capturing

    def queue(self, work: Work) -> None:
        """Queue the network, as a graph where there is one or can be one by now.

        The first run of a batch size in a lane is call by call, and brings the second one's
        capture about, from which on there is a graph.

        Raises:
            BackendError: TensorRT refuses.
        """
        graph = self._graphs.get(work.key)
        if graph is None and self._capturing and self._has_room(work):
            try:
                context = self._own_context(work)
                if context.has_run:
                    graph = self._graphs[work.key] = self._capture(context, work)
                else:  # the run itself, which the capture asks for
                    context.enqueue(work, self._shape, self._stream)
                    return
            except (BackendError, cuda_driver().error) as error:
                # A context goes on as before when it cannot be captured (the same chapter).
                self._capturing = False
                logger.warning(
                    "%s: no more CUDA graphs from here on, the network runs call by call: %s",
                    self._edition.name,
                    str(error),
                )
        if graph is not None:
            graph.launch()
        else:
            self.queue_calls(work)

    def queue_calls(self, work: Work) -> None:
        """Queue the network call by call."""
        context = self._shared[self._profile(work), work.binding.lane]
        context.enqueue(work, self._shape, self._stream)

    def _profile(self, work: Work) -> int:
        return self._profiles.get(work.batch, 0)

    def _has_room(self, work: Work) -> bool:
        """Whether one more graph, and the context that it needs, are within the limit."""
        sizes = [batch for batch, binding in self._contexts if binding == id(work.binding)]
        return work.batch in sizes or len(sizes) < _MOST_SIZES

    def _own_context(self, work: Work) -> _BoundContext:
        if work.key not in self._contexts:
            self._contexts[work.key] = self._make_context(self._profile(work))
        return self._contexts[work.key]

    def _capture(self, context: _BoundContext, work: Work) -> Graph:
        self._stream.begin_capture()
        try:
            context.enqueue(work, self._shape, self._stream)
        except BaseException:
            with suppress(BackendError, cuda_driver().error):
                self._stream.end_capture().free()
            raise
        return self._stream.end_capture()

    def _fail(self, doing: str) -> BackendError:
        return BackendError(
            f"{self._edition.name} could not {doing}: {self._edition.take_errors()}"
        )

    def free(self) -> None:
        """Destroy graphs, contexts and scratch memory, in this order.

        Raises:
            BackendError: Some graph or the memory could not be freed; the rest is free.
        """
        problem = ""
        for graph in self._graphs.values():
            try:
                graph.free()
            except cuda_driver().error as error:
                problem = str(error)
        self._graphs.clear()
        self._contexts.clear()
        self._shared.clear()
        self._engine = None
        self._runtime_config = None
        if self._scratch is not None:
            self._scratch.free()
        if problem:
            raise BackendError(f"CUDA failed to free a graph: {problem}")


def _profiles_of_single_batches(engine: tensorrt.ICudaEngine) -> dict[int, int]:
    """Batch -> number of the optimization profile that was tuned for it alone."""
    profiles = {}
    for index in range(1, engine.num_optimization_profiles):
        smallest, _, largest = engine.get_tensor_profile_shape(INPUT_NAME, index)
        if smallest[0] == largest[0]:
            profiles[smallest[0]] = index
    return profiles
