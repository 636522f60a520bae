# SPDX-License-Identifier: Apache-2.0
"""Queues the runs of an engine on a GPU, and makes ready beforehand what their first ones need."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.inference.backend import Outputs, UnfittedImage
from mtinet_ros.inference.cuda import HostBuffer, cuda_errors
from mtinet_ros.inference.tensorrt_buffers import Binding, RunBuffers
from mtinet_ros.inference.tensorrt_execution import Execution, Work
from mtinet_ros.inference.tensorrt_fitting import ImageFitting
from mtinet_ros.inference.tensorrt_streams import RunStreams
from mtinet_ros.model_contract import INPUT_NAME

# Most seconds for graphs of runs that are still to come; what is left comes with its first frames.
_CAPTURE_SECONDS = 10.0

_NONE: Mapping[int, UnfittedImage] = {}


class RunQueue:
    """Runs of one engine: upload, network, download. Nothing here waits but where it says so."""

    def __init__(
        self,
        streams: RunStreams,
        execution: Execution,
        buffers: RunBuffers,
        names: tuple[str, ...],
        fixed_batch: int | None,
        fitting: ImageFitting | None = None,
    ) -> None:
        """Put together what runs use.

        Args:
            streams: Their order.
            execution: The network.
            buffers: Memory.
            names: All outputs of the engine.
            fixed_batch: The batch that always runs; None: any.
            fitting: What fits images on the device, where that is done.
        """
        self._streams = streams
        self._execution = execution
        self._buffers = buffers
        self._names = names
        self._fixed_batch = fixed_batch
        self._fitting = fitting
        # By turn: copies of fitted images to where their batch has its memory.
        self._returns: dict[int, Callable[[], None]] = {}
        self._not_waited_for: set[int] = set()  # turns
        self._captures_until = time.monotonic() + _CAPTURE_SECONDS

    def queue(
        self,
        images: NDArray[np.uint8],
        names: tuple[str, ...],
        turn: int,
        unfitted: Mapping[int, UnfittedImage],
    ) -> None:
        """Queue a run.

        Args:
            images: uint8 [N,H,W,3].
            names: Outputs that it downloads.
            turn: The set of buffers, 0 or 1; nobody asks any more for the last run that had it.
            unfitted: What the device writes into `images`, by its place there.
        """
        self._take_turn(turn)
        source = self._buffers.place(images, turn)
        work = self._work(source, len(images), names, turn)
        self._queue(source, work, self._execution.queue, unfitted)
        if unfitted and source.host_address != images.__array_interface__["data"][0]:
            slots, fitted = list(unfitted), source.rows[len(images) - 1]

            def give_back() -> None:
                images[slots] = fitted[slots]

            self._returns[turn] = give_back

    def _take_turn(self, turn: int) -> None:
        """See that the last run of a turn is over, although waiting for it may have failed."""
        if turn in self._not_waited_for:
            self._streams.wait(turn)
        self._returns.pop(turn, None)

    def _queue(
        self,
        source: HostBuffer,
        work: Work,
        network: Callable[[Work], None],
        unfitted: Mapping[int, UnfittedImage] = _NONE,
    ) -> None:
        # Copies are no part of a graph: sources and wanted outputs change from run to run.
        if len(unfitted) < work.batch:
            self._upload(source, work)
        if unfitted:
            self._fit(source, work.binding, work.turn, unfitted)
        self._streams.uploaded()
        network(work)
        self._streams.computed()
        self._download(work)
        self._streams.downloaded(work.turn)
        self._not_waited_for.add(work.turn)

    def _work(self, source: HostBuffer, rows: int, names: tuple[str, ...], turn: int) -> Work:
        batch = self._fixed_batch or rows
        return Work(batch, self._buffers.binding(source, turn), turn, names)

    def _upload(self, source: HostBuffer, work: Work) -> None:
        self._buffers.upload(source, work.binding, work.batch, self._streams.upload)

    def _fit(
        self,
        source: HostBuffer,
        binding: Binding,
        turn: int,
        unfitted: Mapping[int, UnfittedImage],
    ) -> None:
        """Queue fitting, and the copy of its results, which people look at."""
        assert self._fitting is not None
        stream = self._streams.upload
        images = binding.addresses[INPUT_NAME]
        self._fitting.queue(unfitted, images, turn, stream, self.finish)
        self._buffers.download_images(source, binding, unfitted, stream)

    def fit_image(self, unfitted: UnfittedImage) -> NDArray[np.uint8]:
        """Fit an image now, when nothing is queued any more; uint8 [H,W,3]."""
        self.finish()
        for turn in list(self._returns):
            self._returns.pop(turn)()
        place = self._buffers.staging(0)
        self._fit(place, self._buffers.binding(place, 0), 0, {0: unfitted})
        self.finish()
        fitted: NDArray[np.uint8] = place.rows[0][0].copy()
        return fitted

    def _download(self, work: Work) -> None:
        self._buffers.download(
            work.names, work.binding, work.batch, work.turn, self._streams.download
        )

    def wait(self, names: Collection[str], rows: int, turn: int) -> Outputs:
        """Sleep until the run of a turn is over; its outputs, the first `rows` images of each."""
        self._streams.wait(turn)
        self._not_waited_for.discard(turn)
        if turn in self._returns:
            self._returns.pop(turn)()
        return self._buffers.outputs(names, rows, turn)

    def finish(self) -> None:
        """Sleep until all that is queued is done.

        Raises:
            BackendError: Something failed.
        """
        with cuda_errors("finish its work"):
            self._streams.finish()
        self._not_waited_for.clear()

    def run_black(self, batch: int) -> None:
        """Run a black batch on each set of memory, so that none is late when it comes first.

        Kernels are loaded at their first use, and TensorRT for RTX compiles them only then. Graphs
        and their contexts are made, too, while there is time, but for mapped memory: there they
        belong to images that come later, see `prepare_for`.
        """
        for turn in range(self._buffers.lanes):
            self._run_black(
                self._buffers.staging(turn), batch, turn, captures=not self._buffers.is_mapped
            )

    def prepare_for(self, images: HostBuffer, batch: int) -> None:
        """Make graphs for batches that the GPU reads in place, while there is time."""
        if self._buffers.is_mapped:
            for turn in range(2):
                self._run_black(images, batch, turn, captures=True)

    def _run_black(self, source: HostBuffer, batch: int, turn: int, *, captures: bool) -> None:
        work = self._work(source, batch, self._names, turn)
        source.rows[work.batch - 1][...] = 0
        captures &= self._execution.is_capturing and time.monotonic() < self._captures_until
        network = self._execution.queue if captures else self._execution.queue_calls
        for _ in range(2 if captures else 1):  # call by call, then captured and launched
            self._queue(source, work, network)
            self.finish()

    def measure_stages(self, images: NDArray[np.uint8], turn: int) -> Mapping[str, float]:
        """Run once, call by call, waiting after each stage; seconds by stage."""
        self._take_turn(turn)
        source = self._buffers.place(images, turn)
        work = self._work(source, len(images), self._names, turn)
        stages: dict[str, Callable[[], None]] = {
            "h2d": lambda: self._upload(source, work),
            "compute": lambda: self._execution.queue_calls(work),
            "d2h": lambda: self._download(work),
        }
        seconds = {}
        for stage, queue in stages.items():
            begun = time.perf_counter()
            queue()
            self.finish()
            seconds[stage] = time.perf_counter() - begun
        return seconds
