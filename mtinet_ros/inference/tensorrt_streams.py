# SPDX-License-Identifier: Apache-2.0
"""The order of a run's three parts on a GPU: upload, network, download.

On one stream they follow each other, run after run. With copies on streams of their own, the
upload of the next run and the download of the last one go on beside the network (NVIDIA, CUDA C++
Programming Guide, "Overlapping Behavior"): within a run, events keep the order; from run to run,
what two runs share is memory of two sets, and the host waits for a run before its set is used
again.
"""

from __future__ import annotations

from contextlib import ExitStack

from mtinet_ros.inference.cuda import cuda_errors, make_event, make_stream
from mtinet_ros.inference.cuda_driver import DriverEvent, DriverStream


class RunStreams:
    """Streams for the parts of runs, and the events that order and end them.

    Attributes:
        upload: Stream of copies to the device.
        network: Stream of the network.
        download: Stream of copies from the device.
    """

    def __init__(self, *, uploads_apart: bool, downloads_apart: bool) -> None:
        """Make them in the current context.

        Args:
            uploads_apart: Whether uploads have a stream of their own.
            downloads_apart: Whether downloads have one.

        Raises:
            BackendError: The driver makes none. What was made is free again.
        """
        self._freeing = ExitStack()
        with ExitStack() as failed:
            failed.callback(self.free)
            self.network = self._stream()
            self.upload = self._stream() if uploads_apart else self.network
            self.download = self._stream() if downloads_apart else self.network
            # By turn: the end of a run.
            self._ends = tuple(self._event() for _ in range(2))
            self._finished = self._event()
            # One for all runs: a wait is for the mark that was the last one when it was queued.
            self._uploaded = self._event() if uploads_apart else None
            self._computed = self._event() if downloads_apart else None
            failed.pop_all()

    def _stream(self) -> DriverStream:
        stream = make_stream()
        self._freeing.callback(_free, stream)
        return stream

    def _event(self) -> DriverEvent:
        event = make_event()
        self._freeing.callback(_free, event)
        return event

    def uploaded(self) -> None:
        """All uploads of a run are queued: what comes on `network` waits for them."""
        if self._uploaded is not None:
            self._uploaded.record(self.upload)
            self.network.wait_for(self._uploaded)

    def computed(self) -> None:
        """The network of a run is queued: what comes on `download` waits for it."""
        if self._computed is not None:
            self._computed.record(self.network)
            self.download.wait_for(self._computed)

    def downloaded(self, turn: int) -> None:
        """All of the run of this turn, 0 or 1, is queued."""
        self._ends[turn].record(self.download)

    def wait(self, turn: int) -> None:
        """Sleep until the last run of this turn is over."""
        self._ends[turn].wait()

    def finish(self) -> None:
        """Sleep until all that is queued is done, also what failed halfway."""
        for stream in dict.fromkeys((self.upload, self.network, self.download)):
            self._finished.record(stream)
            self._finished.wait()

    def free(self) -> None:
        """Destroy events and streams; nothing may be queued.

        Raises:
            BackendError: Some could not be destroyed; the rest is.
        """
        self._freeing.close()


def _free(thing: DriverStream | DriverEvent) -> None:
    with cuda_errors("free a stream"):
        thing.free()
