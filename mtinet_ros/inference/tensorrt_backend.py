# SPDX-License-Identifier: Apache-2.0
"""TensorRT on an NVIDIA GPU, either edition: engine from the cache, one stream, no allocation.

A frame's way: copy into pinned memory, queue its upload, the network and the download of the
wanted outputs on one stream, sleep until its event. All buffers, views and addresses are made at
load. Everything CUDA is made, used and freed in the thread that loads the backend.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, BackendLostError
from mtinet_ros.inference.backend import Backend, Run, Runs, check_graph, check_images
from mtinet_ros.inference.cuda import (
    Buffer,
    DeviceContext,
    Stream,
    cuda_errors,
    device_memory_used,
)
from mtinet_ros.inference.engine_builder import Progress
from mtinet_ros.inference.engine_cache import CachedEngine, EngineCache
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.inference.engine_target import engine_cache
from mtinet_ros.inference.runtime_cache import RuntimeCache
from mtinet_ros.inference.tensorrt_edition import FailureCause, load_edition
from mtinet_ros.model_card import read_model_card
from mtinet_ros.model_contract import INPUT_NAME

if TYPE_CHECKING:
    import tensorrt

logger = logging.getLogger("mtinet_ros.inference")


class _EngineRefusedError(BackendError):
    """TensorRT does not take an engine, though its sidecar fits; a new one may do."""


class TensorRtBackend(Backend):
    """`Backend` over a TensorRT engine and one execution context."""

    leaves_cpu_free = True

    def __init__(
        self,
        model: Path,
        max_batch: int,
        *,
        edition: str,
        device_id: int,
        engine: EngineSettings,
        progress: Progress,
        cancelled: threading.Event,
    ) -> None:
        """Load a model, building its engine first where none fits (which may take minutes).

        Args:
            model: ONNX file with a card.
            max_batch: Largest batch to accept; the card's own limit also holds.
            edition: `tensorrt` or `tensorrt_rtx`.
            device_id: CUDA device.
            engine: Where engines are kept and how they are built.
            progress: Told the phase of loading or building, and the share done, 0 to 1.
            cancelled: Set it to stop a build; loading then raises `BackendError`.

        Raises:
            ModelError: The model is unreadable, not of the contract, or refused by the parser.
            BackendError: Anything about TensorRT, the GPU or the engine cache.
        """
        self.name = edition
        self.card = read_model_card(model)
        self.precision = self.card.stated_precision  # strongly typed: as the graph says
        self._thread = threading.get_ident()
        self._edition = load_edition(edition)
        self._lost = ""
        self._closed = False
        self._runs = Runs(edition)
        # Undone in reverse: buffers, stream, execution context, engine, runtime; then the device.
        self._freeing = ExitStack()
        self._runtime_cache: RuntimeCache | None = None
        self._device = DeviceContext(device_id)
        self.device = self._device.description
        try:
            cache = engine_cache(
                model, self.card, self._edition, max_batch, device_id, engine,
                self._device.identity,
            )  # fmt: skip
            stored = cache.get_or_build(progress, cancelled)
            progress("loading the engine", 1.0)
            with self._device:
                try:
                    self._deserialize(stored)
                except _EngineRefusedError as error:
                    if stored.was_built:
                        raise
                    logger.warning("%s", str(error))
                    stored = cache.get_or_build(progress, cancelled, refused=stored)
                    self._deserialize(stored)
                self._prepare(cache, model, max_batch)
                self._warm_up(progress)
        except BaseException as error:
            self._free_after_failure(error)
            raise

    def _free_after_failure(self, error: BaseException) -> None:
        """Free all after a failed load, although the error's traceback still refers to it.

        Whoever keeps the error, perhaps in another thread, would keep engine and context alive
        through the local variables of the frames that it passed.
        """
        with suppress(BackendError), self._device:
            cause: BaseException | None = error
            while cause is not None:
                traceback.clear_frames(cause.__traceback__)
                cause = cause.__cause__ or cause.__context__
        self.close()

    def _deserialize(self, stored: CachedEngine) -> None:
        edition = self._edition
        edition.log.errors.clear()
        with cuda_errors("load the engine"):
            runtime: tensorrt.Runtime | None = edition.create("Runtime")
            if runtime is not None and stored.sidecar["identity"]["version_compatible"]:
                # Such an engine brings its own runtime code; it comes from our own folder.
                runtime.engine_host_code_allowed = True
            engine = runtime.deserialize_cuda_engine(stored.content) if runtime else None
        if runtime is None or engine is None:
            errors = edition.take_errors()
            # With a cause outside it, the engine is not to blame.
            is_engines_fault = runtime is not None and errors.cause is FailureCause.UNKNOWN
            kind = _EngineRefusedError if is_engines_fault else BackendError
            raise kind(f"{edition.name} {edition.version} does not load {stored.path}: {errors}")
        self._runtime: tensorrt.Runtime | None = runtime
        self._freeing.callback(self._drop, "_runtime")
        self._engine: tensorrt.ICudaEngine | None = engine
        self._freeing.callback(self._drop, "_engine")

    def _prepare(self, cache: EngineCache, model: Path, max_batch: int) -> None:
        """Make all that a run uses: execution context, stream, buffers."""
        engine = self._engine
        assert engine is not None
        tensors = self._read_tensors(engine)
        inputs = {name: tensors[name] for name in tensors if self._is_input(engine, name)}
        outputs = {name: tensors[name] for name in tensors if name not in inputs}
        check_graph(model, self.card, inputs, outputs)
        self.output_names = tuple(outputs)
        self._fixed_batch = inputs[INPUT_NAME][1][0]
        largest = self._fixed_batch or engine.get_tensor_profile_shape(INPUT_NAME, 0)[2][0]
        self.max_batch = min(max_batch, self.card.max_batch, largest)
        with cuda_errors("make an execution context"):
            self._context: tensorrt.IExecutionContext | None = self._make_context(engine, cache)
        if self._context is None:
            raise self._failure("make an execution context")
        self._freeing.callback(self._drop, "_context")
        self._stream = Stream()
        self._freeing.callback(self._stream.free)
        self._buffers: dict[str, Buffer] = {}
        for name, (dtype, (_, *trailing)) in tensors.items():
            shape = (largest, *(size or 0 for size in trailing))
            buffer = Buffer(shape, dtype)
            self._freeing.callback(buffer.free)
            self._buffers[name] = buffer
            if not self._context.set_tensor_address(name, buffer.address):
                raise self._failure(f"take the address of {name}")
        # Freed first: work that a failed frame left on the stream must be over.
        self._freeing.callback(self._finish)
        self._batch = 0

    def _make_context(
        self, engine: tensorrt.ICudaEngine, cache: EngineCache
    ) -> tensorrt.IExecutionContext | None:
        if not self._edition.is_rtx:
            return engine.create_execution_context()
        self._runtime_cache = RuntimeCache(engine, cache, self._edition.trt)
        self._freeing.callback(self._drop, "_runtime_cache")
        # The stubs describe `tensorrt`, which takes no such thing in all its versions.
        create: Any = engine.create_execution_context
        context: tensorrt.IExecutionContext | None = create(self._runtime_cache.runtime_config)
        return context

    def _read_tensors(
        self, engine: tensorrt.ICudaEngine
    ) -> dict[str, tuple[str, tuple[int | None, ...]]]:
        tensors: dict[str, tuple[str, tuple[int | None, ...]]] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            dtype = self._edition.numpy_dtype_name(engine.get_tensor_dtype(name))
            shape = tuple(None if size < 0 else size for size in engine.get_tensor_shape(name))
            tensors[name] = (dtype, shape)
        return tensors

    def _is_input(self, engine: tensorrt.ICudaEngine, name: str) -> bool:
        return bool(engine.get_tensor_mode(name) == self._edition.trt.TensorIOMode.INPUT)

    def _warm_up(self, progress: Progress) -> None:
        """Run black images, so that lazy initialisation is over before a real one.

        TensorRT for RTX compiles kernels at the first use of each batch size: all are used here.
        """
        largest = self.max_batch if self._edition.is_rtx and not self._fixed_batch else 1
        for rows in range(1, largest + 1):
            if largest > 1:
                progress(f"compiling kernels for batch {rows} of {largest}", 1.0)
            images = self._buffers[INPUT_NAME].host[rows - 1]
            images[...] = 0
            self._run(images, self.output_names)
        if self._runtime_cache:
            self._runtime_cache.save()

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`. The run is over on return, its arrays are the caller's own.

        Raises:
            BackendLostError: The GPU's context is broken; only a new process can go on.
        """
        self._check_usable()
        check_images(self, images, wanted)
        self._runs.next_turn()
        names = [name for name in self.output_names if name in wanted]
        if names:
            with self._device:
                self._run(images, names)
                if self._runtime_cache:
                    self._runtime_cache.save_if_due()
        rows = images.shape[0]
        outputs = {name: self._buffers[name].host[rows - 1].copy() for name in names}
        return self._runs.begun(lambda: outputs)

    def measure_stages(self, images: NDArray[np.uint8]) -> Mapping[str, float]:
        """Run once, waiting after each stage; for benchmarks.

        Args:
            images: As for `begin`.

        Returns:
            Seconds of `h2d`, `compute` and `d2h` (of all outputs), each including one wait.
        """
        self._check_usable()
        check_images(self, images, ())
        seconds: dict[str, float] = {}
        with self._device, self._detect_lost_context():
            batch = self._copy_to_pinned(images)
            stages: dict[str, Callable[[], None]] = {
                "h2d": lambda: self._upload(batch),
                "compute": self._execute,
                "d2h": lambda: self._download(batch, self.output_names),
            }
            for stage, queue in stages.items():
                begun = time.perf_counter()
                queue()
                self._stream.wait()
                seconds[stage] = time.perf_counter() - begun
        return seconds

    def device_memory_used(self) -> int:
        """Bytes in use on the GPU, by this and every other process."""
        self._check_usable()
        with self._device:
            return device_memory_used()

    def _run(self, images: NDArray[np.uint8], names: Collection[str]) -> None:
        with self._detect_lost_context():
            batch = self._copy_to_pinned(images)
            self._upload(batch)
            self._execute()
            self._download(batch, names)
            self._stream.wait()

    def _copy_to_pinned(self, images: NDArray[np.uint8]) -> int:
        """Copy into pinned memory; returns the batch that runs, which an engine may fix."""
        rows = images.shape[0]
        image = self._buffers[INPUT_NAME]
        np.copyto(image.host[rows - 1], images)
        batch = self._fixed_batch or rows
        if batch != self._batch:
            assert self._context is not None
            if not self._context.set_input_shape(INPUT_NAME, image.host[batch - 1].shape):
                raise self._failure(f"take a batch of {batch}")
            self._batch = batch
        return batch

    def _upload(self, batch: int) -> None:
        self._buffers[INPUT_NAME].upload(batch, self._stream)

    def _execute(self) -> None:
        assert self._context is not None
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._failure("run the network")

    def _download(self, batch: int, names: Collection[str]) -> None:
        for name in names:
            self._buffers[name].download(batch, self._stream)

    @contextmanager
    def _detect_lost_context(self) -> Iterator[None]:
        """After an error in the block, raise `BackendLostError` if the context is broken, too."""
        try:
            with cuda_errors("run the network"):
                yield
        except BackendError as error:
            self._batch = 0
            try:
                self._finish()
            except BackendError as still:
                self._lost = str(still)
                raise BackendLostError(
                    f"{error}; the GPU's context is lost: restart the program"
                ) from error
            raise

    def _finish(self) -> None:
        with cuda_errors("finish its work"):
            self._stream.wait()

    def _failure(self, doing: str) -> BackendError:
        return BackendError(f"{self.name} could not {doing}: {self._edition.take_errors()}")

    def _check_usable(self) -> None:
        if self._closed:
            raise BackendError(f"{self.name}: the backend is closed")
        if self._lost:
            raise BackendLostError(
                f"{self.name}: the GPU's context is lost ({self._lost}); restart the program"
            )
        self._check_thread()

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise BackendError(
                f"{self.name}: called from another thread than the one that made it; CUDA objects "
                "live and die in one thread"
            )

    def _drop(self, attribute: str) -> None:
        """Let go of the last reference, which destroys the object behind it."""
        setattr(self, attribute, None)

    def close(self) -> None:
        """See `Backend.close`. What cannot be freed is logged, and the rest is freed."""
        if self._closed:
            return
        self._check_thread()
        self._closed = True
        self._runs.close()
        # Each step on its own: what the one cannot free must not keep the next from trying.
        with ExitStack() as current:
            with self._log_errors():
                current.enter_context(self._device)
            with self._log_errors():
                if self._runtime_cache and not self._lost:
                    self._runtime_cache.save()
                self._freeing.close()
        with self._log_errors():
            self._device.release()

    @contextmanager
    def _log_errors(self) -> Iterator[None]:
        """Log an error as text: a log record that kept the error would keep what it refers to."""
        try:
            yield
        except BackendError as error:
            logger.warning("%s: while closing: %s", self.name, str(error))
