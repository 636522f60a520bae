# SPDX-License-Identifier: Apache-2.0
"""TensorRT on an NVIDIA GPU, either edition: engine from the cache, and no allocation per frame.

A frame's way: its images are in page-locked memory (`new_images`) or are copied there; their
upload, the network and the download of the wanted outputs are queued in this order
(`RunStreams`); `Run.outputs` sleeps until its event. Everything CUDA is made, used and freed in
the thread that loads.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, BackendLostError
from mtinet_ros.inference.backend import (
    Backend,
    FixedBatch,
    Outputs,
    Run,
    Runs,
    UnfittedImage,
    check_graph,
    check_images,
)
from mtinet_ros.inference.cuda import (
    DeviceContext,
    cuda_errors,
    device_memory_used,
    identify_gpu,
)
from mtinet_ros.inference.engine_builder import Progress
from mtinet_ros.inference.engine_cache import CachedEngine, EngineCache
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.inference.engine_target import engine_cache
from mtinet_ros.inference.gpu_settings import GpuSettings
from mtinet_ros.inference.runtime_cache import RuntimeCache
from mtinet_ros.inference.tensorrt_buffers import RunBuffers, TensorLayout
from mtinet_ros.inference.tensorrt_edition import load_edition
from mtinet_ros.inference.tensorrt_engine import engine_tensors, load_engine
from mtinet_ros.inference.tensorrt_execution import Execution, captures_graphs
from mtinet_ros.inference.tensorrt_fitting import image_fitting
from mtinet_ros.inference.tensorrt_queue import RunQueue
from mtinet_ros.inference.tensorrt_streams import RunStreams
from mtinet_ros.model_card import read_model_card
from mtinet_ros.model_contract import INPUT_NAME

if TYPE_CHECKING:
    import tensorrt

logger = logging.getLogger("mtinet_ros.inference")


class TensorRtBackend(Backend):
    """`Backend` over a TensorRT engine; two runs may be under way."""

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
        gpu: GpuSettings,
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
            gpu: How the engine is run.

        Raises:
            ModelError: The model is unreadable, not of the contract, or refused by the parser.
            BackendError: Anything about TensorRT, the GPU or the engine cache.
        """
        self.name = edition
        self.card = read_model_card(model)
        self.precision = self.card.stated_precision  # strongly typed: as the graph says
        self._thread = threading.get_ident()
        self._edition = load_edition(edition)
        self._settings = gpu
        self.leaves_cpu_free = gpu.two_runs
        self._lost = ""
        self._closed = False
        self._runs = Runs(edition)
        # Undone in reverse: buffers, stream, execution, engine, runtime; then the device.
        self._freeing = ExitStack()
        self._runtime_cache: RuntimeCache | None = None
        self._held: DeviceContext | None = None
        self._gpu = identify_gpu(device_id)
        self.device = f"cuda:{device_id} {self._gpu.name}"
        try:
            largest = max(engine.largest_batch, max_batch)
            cache = engine_cache(
                model, self.card, self._edition, largest, device_id, engine, self._gpu
            )
            # The context comes after it: while a child builds, a small GPU is all the child's.
            stored = cache.get_or_build(progress, cancelled)
            progress("loading the engine", 1.0)
            refusal = self._load(device_id, stored)
            if refusal and not stored.was_built:
                logger.warning("%s", refusal)
                stored = cache.get_or_build(progress, cancelled, refused=stored)
                refusal = self._load(device_id, stored)
            if refusal:
                raise BackendError(refusal)
            with self._device:
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
        with suppress(BackendError), self._held or nullcontext():
            cause: BaseException | None = error
            while cause is not None:
                traceback.clear_frames(cause.__traceback__)
                cause = cause.__cause__ or cause.__context__
        self.close()

    def _load(self, device_id: int, stored: CachedEngine) -> str:
        """Take the device and load an engine; why TensorRT refuses it, or nothing.

        An engine may be refused although its sidecar fits; a new one may not be.
        """
        self._held = DeviceContext(device_id)
        with self._held:
            loaded = load_engine(self._edition, stored)
        if isinstance(loaded, str):
            held, self._held = self._held, None
            held.release()
            return loaded
        self._runtime: tensorrt.Runtime | None = loaded[0]
        self._freeing.callback(self._drop, "_runtime")
        self._engine: tensorrt.ICudaEngine | None = loaded[1]
        self._freeing.callback(self._drop, "_engine")
        return ""

    @property
    def _device(self) -> DeviceContext:
        assert self._held is not None
        return self._held

    def _prepare(self, cache: EngineCache, model: Path, max_batch: int) -> None:
        """Make all that a run uses: streams, execution, buffers."""
        engine = self._engine
        assert engine is not None
        inputs, outputs = engine_tensors(engine, self._edition)
        check_graph(model, self.card, inputs, outputs)
        self.output_names = tuple(outputs)
        self._fixed_batch = FixedBatch(self.name, model, inputs[INPUT_NAME][1]).size
        largest = self._fixed_batch or engine.get_tensor_profile_shape(INPUT_NAME, 0)[2][0]
        self.max_batch = min(max_batch, self.card.max_batch, largest)
        mapped = self._settings.mapped_memory
        if mapped is None:
            mapped = self._gpu.is_integrated and not self._edition.is_rtx
        uploads_apart = self._settings.overlapped_uploads and not mapped
        downloads_apart = self._settings.overlapped_downloads and not mapped
        streams = RunStreams(uploads_apart=uploads_apart, downloads_apart=downloads_apart)
        self._freeing.callback(streams.free)
        if self._edition.is_rtx:
            self._runtime_cache = RuntimeCache(
                engine,
                cache,
                self._edition.trt,
                whole_graph=self._settings.cuda_graphs is not False,
            )
            self._freeing.callback(self._drop, "_runtime_cache")
        with cuda_errors("make an execution context"):
            execution = Execution(
                engine,
                self._edition,
                streams.network,
                self._runtime_cache and self._runtime_cache.runtime_config,
                graphs=captures_graphs(self._edition, self._settings.cuda_graphs),
                lanes=2 if uploads_apart or downloads_apart else 1,
            )
        self._freeing.callback(execution.free)
        rows = self._fixed_batch or self.max_batch
        layouts = {
            name: TensorLayout(dtype, (rows, *(size or 0 for size in trailing)))
            for name, (dtype, (_, *trailing)) in {**inputs, **outputs}.items()
        }
        self._buffers = RunBuffers(
            layouts, mapped=mapped, two_images=uploads_apart, two_outputs=downloads_apart
        )
        self._freeing.callback(self._buffers.free)
        wants_fitting = self._settings.fits_images
        fitting = image_fitting(self._gpu, mapped=mapped) if wants_fitting else None
        if fitting is not None:
            self.fits_images = True
            self._freeing.callback(fitting.free)
        self._queue = RunQueue(
            *(streams, execution, self._buffers, self.output_names, self._fixed_batch, fitting)
        )
        # Freed first: work that a failed frame left on the streams must be over.
        self._freeing.callback(self._queue.finish)

    def _warm_up(self, progress: Progress) -> None:
        """Run in every batch size, so that no first frame is late; see `RunQueue.run_black`."""
        for batch in self._batches():
            if self.max_batch > 1:
                progress(f"preparing batch {batch} of {self.max_batch}", 1.0)
            with self._detect_lost_context():
                self._queue.run_black(batch)
        if self._runtime_cache:
            self._runtime_cache.save()

    def _batches(self) -> Iterable[int]:
        """All that a run may really have."""
        return (self._fixed_batch,) if self._fixed_batch else range(1, self.max_batch + 1)

    def new_images(self) -> NDArray[np.uint8]:
        """See `Backend.new_images`: page-locked memory, freed by `close`.

        Where the GPU reads it in place, before the first run, graphs are captured for it.

        Raises:
            BackendError: There is not enough of it, or the backend is closed.
        """
        if not self._settings.pinned_images:
            return super().new_images()
        self._check_usable()
        with self._device:
            buffer = self._buffers.new_images()
            images: NDArray[np.uint8] = buffer.rows[self.max_batch - 1]
            if not self._runs.have_begun:  # whose outputs it would overwrite
                for batch in self._batches():
                    with self._detect_lost_context():
                        self._queue.prepare_for(buffer, batch)
        return images

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`. The outputs are views of page-locked memory, which `close` frees.

        Raises:
            BackendLostError: The GPU's context is broken; only a new process can go on.
        """
        return self._begin(images, {}, wanted)

    def begin_unfitted(
        self,
        images: NDArray[np.uint8],
        unfitted: Mapping[int, UnfittedImage],
        wanted: Collection[str],
    ) -> Run:
        """See `Backend.begin_unfitted`."""
        if not self.fits_images:
            return super().begin_unfitted(images, unfitted, wanted)
        return self._begin(images, unfitted, wanted)

    def fit_image(self, unfitted: UnfittedImage) -> NDArray[np.uint8]:
        """See `Backend.fit_image`."""
        if not self.fits_images:
            return super().fit_image(unfitted)
        self._check_usable()
        with self._device, self._detect_lost_context():
            return self._queue.fit_image(unfitted)

    def _begin(
        self,
        images: NDArray[np.uint8],
        unfitted: Mapping[int, UnfittedImage],
        wanted: Collection[str],
    ) -> Run:
        self._check_usable()
        check_images(self, images, wanted)
        turn = self._runs.next_turn()
        names = tuple(name for name in self.output_names if name in wanted)
        if not names:
            return self._runs.begun(dict)
        with self._device, self._detect_lost_context():
            self._queue.queue(images, names, turn, unfitted)
        if self._runtime_cache:
            self._runtime_cache.save_if_due()
        rows = images.shape[0]
        run = self._runs.begun(lambda: self._take(names, rows, turn))
        if not self._settings.two_runs:
            run.outputs()
        return run

    def _take(self, names: Collection[str], rows: int, turn: int) -> Outputs:
        """Wait for a run, and give its outputs."""
        self._check_usable()
        with self._device, self._detect_lost_context():
            return self._queue.wait(names, rows, turn)

    def measure_stages(self, images: NDArray[np.uint8]) -> Mapping[str, float]:
        """Run once, call by call, waiting after each stage; for benchmarks.

        Args:
            images: As for `begin`.

        Returns:
            Seconds of `h2d`, `compute` and `d2h` (of all outputs), each including one wait.
        """
        self._check_usable()
        check_images(self, images, ())
        turn = self._runs.next_turn()
        with self._device, self._detect_lost_context():
            return self._queue.measure_stages(images, turn)

    def device_memory_used(self) -> int:
        """Bytes in use on the GPU, by this and every other process."""
        self._check_usable()
        with self._device:
            return device_memory_used()

    @contextmanager
    def _detect_lost_context(self) -> Iterator[None]:
        """After an error in the block, wait until all is over; `BackendLostError` if it fails."""
        try:
            with cuda_errors("run the network"):
                yield
        except Exception as error:
            try:
                self._queue.finish()
            except BackendError as still:
                self._lost = str(still)
                raise BackendLostError(
                    f"{error}; the GPU's context is lost: restart the program"
                ) from error
            raise

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
        if self._held is None:
            return
        # Each step on its own: what the one cannot free must not keep the next from trying.
        with ExitStack() as current:
            with self._log_errors():
                current.enter_context(self._held)
            with self._log_errors():
                if self._runtime_cache and not self._lost:
                    self._runtime_cache.save()
                self._freeing.close()
        with self._log_errors():
            self._held.release()

    @contextmanager
    def _log_errors(self) -> Iterator[None]:
        """Log an error as text: a log record that kept the error would keep what it refers to."""
        try:
            yield
        except BackendError as error:
            logger.warning("%s: while closing: %s", self.name, str(error))
