# SPDX-License-Identifier: Apache-2.0
"""Queues the runs of an engine on a GPU, and makes ready beforehand what their first ones need."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.inference.backend import Outputs
from mtinet_ros.inference.cuda import HostBuffer, cuda_errors
from mtinet_ros.inference.tensorrt_buffers import RunBuffers
from mtinet_ros.inference.tensorrt_execution import Execution, Work
from mtinet_ros.inference.tensorrt_streams import RunStreams

# Most seconds for graphs of runs that are still to come; what is left comes with its first frames.
_CAPTURE_SECONDS = 10.0


class RunQueue:
    """Runs of one engine: upload, network, download. Nothing here waits but where it says so."""

    def __init__(
        self,
        streams: RunStreams,
        execution: Execution,
        buffers: RunBuffers,
        names: tuple[str, ...],
        fixed_batch: int | None,
    ) -> None:
        """Put together what runs use.

        Args:
            streams: Their order.
            execution: The network.
            buffers: Memory.
            names: All outputs of the engine.
            fixed_batch: The batch that always runs; None: any.
        """
        self._streams = streams
        self._execution = execution
        self._buffers = buffers
        self._names = names
        self._fixed_batch = fixed_batch
        self._captures_until = time.monotonic() + _CAPTURE_SECONDS

    def queue(self, images: NDArray[np.uint8], names: tuple[str, ...], turn: int) -> None:
        """Queue a run.

        Args:
            images: uint8 [N,H,W,3].
            names: Outputs that it downloads.
            turn: The set of buffers, 0 or 1; the last run that had it must be over.
        """
        source = self._buffers.place(images, turn)
        self._queue(source, self._work(source, len(images), names, turn), self._execution.queue)

    def _queue(self, source: HostBuffer, work: Work, network: Callable[[Work], None]) -> None:
        # Copies are no part of a graph: sources and wanted outputs change from run to run.
        self._upload(source, work)
        self._streams.uploaded()
        network(work)
        self._streams.computed()
        self._download(work)
        self._streams.downloaded(work.turn)

    def _work(self, source: HostBuffer, rows: int, names: tuple[str, ...], turn: int) -> Work:
        batch = self._fixed_batch or rows
        return Work(batch, self._buffers.binding(source, turn), turn, names)

    def _upload(self, source: HostBuffer, work: Work) -> None:
        self._buffers.upload(source, work.binding, work.batch, self._streams.upload)

    def _download(self, work: Work) -> None:
        self._buffers.download(
            work.names, work.binding, work.batch, work.turn, self._streams.download
        )

    def wait(self, names: Collection[str], rows: int, turn: int) -> Outputs:
        """Sleep until the run of a turn is over; its outputs, the first `rows` images of each."""
        self._streams.wait(turn)
        return self._buffers.outputs(names, rows, turn)

    def finish(self) -> None:
        """Sleep until all that is queued is done.

        Raises:
            BackendError: Something failed.
        """
        with cuda_errors("finish its work"):
            self._streams.finish()

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
