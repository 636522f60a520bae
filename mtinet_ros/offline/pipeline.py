# SPDX-License-Identifier: Apache-2.0
"""A recording's way through the network, every step beside the others, nothing dropped.

    read ──▶ decode (pool) ──▶ prepare ──▶ infer ──▶ keep ──▶ encode (pool) ──▶ write

Each arrow is a `Flow`, so that no step is far ahead of the next and memory stays bounded. `infer`
runs in the caller's thread, which owns the backend; where the network leaves the CPU free, two
runs are under way. `keep` copies what a run said, so that all behind it may take its time.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, InputError, MtinetError
from mtinet_ros.inference import Outputs, Run
from mtinet_ros.offline.flow import Abandoned, Flow
from mtinet_ros.offline.parts import Entry, PartWriter
from mtinet_ros.offline.reading import Ending, read_times
from mtinet_ros.offline.shards import EveryNth
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Batch, Predictor
from mtinet_ros.recordings.frame import Interval, PassedMessage, RecordedFrame, Source

Scalar = TypeVar("Scalar", bound=np.generic)

# What waits between two steps at most: pictures of cameras are large, results larger.
_WAITING_BYTES = 256 * 2**20
# Messages that are passed on between two frames and travel together at most.
_MESSAGE_BYTES = 16 * 2**20
# One is filled, one waits, two are in the network, of one the results are kept.
_BATCHES = 5
# Threads that decode, and that encode: what one network can use of a machine with many cores.
_MOST_THREADS = 8


@dataclass(frozen=True)
class Selection:
    """What of a recording is processed.

    Attributes:
        interval: Times.
        every: One of so many frames of each camera.
        with_other_messages: Whether what is no frame is passed on.
        wanted: Outputs of the model contract.
    """

    interval: Interval
    every: int
    with_other_messages: bool
    wanted: Collection[str]


@dataclass(eq=False)
class _Found:
    """What the reader found: an entry and, of a frame to process, the picture in the making."""

    entry: Entry
    picture: Future[DecodedImage] | None = None


@dataclass(eq=False)
class _Work:
    """Entries that travel together, some of them in the batch; or the end of all."""

    batch: Batch | None = None
    entries: list[Entry] = field(default_factory=list)
    in_batch: list[Entry] = field(default_factory=list)
    outputs: Outputs = field(default_factory=dict)
    is_kept: threading.Event = field(default_factory=threading.Event)
    message_bytes: int = 0
    ending: Ending | None = None


class Pipeline:
    """Takes one recording through the network to a writer; made for one `run`."""

    def __init__(
        self,
        predictor: Predictor,
        source: Source,
        selection: Selection,
        chooser: EveryNth,
        writer: PartWriter,
        is_stopped: Callable[[], bool],
        max_batch: int = 0,
    ) -> None:
        """Allocate the batches, in the backend's thread.

        Args:
            predictor: What runs the network.
            source: The recording.
            selection: What of it.
            chooser: Which of its frames.
            writer: Where it goes.
            is_stopped: Whether reading is to end at the next change of time.
            max_batch: Images of a run at most; 0: as many as the network gains by.
        """
        backend = predictor.backend
        gain = backend.max_batch if backend.gains_by_batching else 1
        self._batch_size = min(max_batch or gain, backend.max_batch)
        self._most_under_way = 2 if backend.leaves_cpu_free else 1
        self._predictor = predictor
        self._source = source
        self._selection = selection
        self._chooser = chooser
        self._writer = writer
        self._is_stopped = is_stopped
        threads = max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0))))
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="mtinet_decode")
        self._encoders = ThreadPoolExecutor(threads, thread_name_prefix="mtinet_encode")
        self._picture_bytes = 0
        self._found: Flow[_Found | Ending] = Flow(2 * self._batch_size + threads, _WAITING_BYTES)
        self._prepared: Flow[_Work] = Flow(1)
        self._inferred: Flow[_Work] = Flow(1)
        self._kept: Flow[_Work] = Flow(4, _WAITING_BYTES)
        self._free: Flow[Batch] = Flow(_BATCHES)
        for _ in range(_BATCHES):
            self._free.put(predictor.new_batch())
        self._error: BaseException | None = None
        self._ending: Ending | None = None

    def run(self) -> Ending:
        """Process the recording, or what is left when it is stopped or something fails.

        On return the writer has ended its last part.

        Raises:
            InputError: The results cannot be written; the parts before are whole.
        """
        steps = (self._read, self._prepare, self._keep, self._write)
        threads = [self._start(step) for step in steps]
        try:
            self._run_step(self._infer)
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C for the second time, in a test
            self._abandon()
            raise
        finally:
            for pool in (self._decoders, self._encoders):
                pool.shutdown(wait=False, cancel_futures=True)
        if self._error is not None:
            with contextlib.suppress(MtinetError):
                self._writer.discard()
            raise self._error
        assert self._ending is not None
        return self._ending

    def _start(self, step: Callable[[], None]) -> threading.Thread:
        name = f"mtinet{step.__name__}"
        thread = threading.Thread(target=self._run_step, args=(step,), name=name, daemon=True)
        thread.start()
        return thread

    def _run_step(self, step: Callable[[], None]) -> None:
        """Run a step to its end; if it fails, the others end as well."""
        try:
            step()
        except Abandoned:
            pass
        except Exception as error:
            self._error = self._error or error
            self._abandon()

    def _abandon(self) -> None:
        flows: tuple[Flow[Any], ...] = (
            *(self._found, self._prepared, self._inferred, self._kept, self._free),
        )
        for flow in flows:
            flow.abandon()

    def _read(self) -> None:
        """Find frames, and have them decoded."""
        ending = Ending(None)
        selection = self._selection
        groups = read_times(self._source, selection.interval, selection.with_other_messages)
        for group in groups:
            if isinstance(group, Ending):
                ending = group
                break
            if self._is_stopped() and group.begins:
                ending = Ending(group.items[0].time)
                break
            for item in group.items:
                self._found.put(*self._entry(item))
        self._found.put(ending)
        self._found.end()

    def _entry(self, item: RecordedFrame | PassedMessage) -> tuple[_Found, int]:
        """What an item of the recording is to the steps behind, and its bytes."""
        if not isinstance(item, RecordedFrame):
            return _Found(Entry(item.time, message=item)), len(item.data)
        entry = Entry(item.time, item.camera, message=item.message)
        if not self._chooser.takes(item):
            entry.message = None
            return _Found(entry), 0
        entry.frame = item
        size = self._picture_bytes + item.nbytes
        return _Found(entry, self._decoders.submit(item.decode)), size

    def _prepare(self) -> None:
        """Bring pictures into batches."""
        work = self._new_work()
        while (found := self._found.take()) is not None:
            if isinstance(found, Ending):
                work.ending = found
                break
            self._add(found, work)
            if len(work.in_batch) == self._batch_size or work.message_bytes > _MESSAGE_BYTES:
                self._prepared.put(work)
                work = self._new_work()
        self._prepared.put(work)
        self._prepared.end()

    def _new_work(self) -> _Work:
        batch = self._free.take()
        assert batch is not None
        batch.clear()
        return _Work(batch)

    def _add(self, found: _Found, work: _Work) -> None:
        entry = found.entry
        work.entries.append(entry)
        work.message_bytes += len(entry.message.data) if entry.message else 0
        if found.picture is None:
            return
        assert entry.frame is not None
        assert work.batch is not None
        try:
            decoded = found.picture.result()
            self._predictor.preprocess(work.batch, decoded.source, decoded.camera)
        except InputError as error:
            entry.failure = f"{entry.frame.name}: {error}"
        except Exception as error:  # one frame must not cost the others theirs
            entry.failure = (
                f"{entry.frame.name}: a defect, please report it: {type(error).__name__}: {error}"
            )
        else:
            entry.valid_mask = decoded.valid_mask
            # What it was decoded from is as large as itself, and nobody needs it any more.
            entry.frame = replace(entry.frame, decode=_decode_again, message=None)
            self._picture_bytes = max(self._picture_bytes, decoded.nbytes)
            work.in_batch.append(entry)

    def _infer(self) -> None:
        """Run the network."""
        begun: deque[_Work] = deque()  # the last two: their outputs are the backend's memory
        under_way: deque[tuple[_Work, Run]] = deque()
        problem = ""
        failed: _Work | None = None
        while failed is None and (work := self._prepared.take()) is not None:
            try:
                run = Run(dict)
                if work.in_batch and work.batch is not None:
                    if len(begun) == 2:
                        self._wait_for(begun.popleft())
                    run = self._predictor.begin(work.batch, self._selection.wanted)
                    begun.append(work)
            except BackendError as error:
                failed, problem = work, str(error)
            else:
                under_way.append((work, run))
            while under_way and (failed or len(under_way) >= self._most_under_way):
                failed, problem = self._hand_on(under_way, failed, problem)
        while under_way:
            failed, problem = self._hand_on(under_way, failed, problem)
        if failed is not None:
            self._found.abandon()
            self._prepared.abandon()
            self._free.abandon()
            self._inferred.put(_Work(ending=Ending(failed.entries[0].time, problem)))
        self._inferred.end()

    def _hand_on(
        self, under_way: deque[tuple[_Work, Run]], failed: _Work | None, problem: str
    ) -> tuple[_Work | None, str]:
        """Wait for the oldest run; the first work that failed so far, and why."""
        work, run = under_way.popleft()
        try:
            work.outputs = run.outputs()
        except BackendError as error:
            under_way.clear()
            return work, str(error)
        self._inferred.put(work)
        return failed, problem

    def _wait_for(self, work: _Work) -> None:
        """Wait until the outputs of a run are kept elsewhere."""
        while not work.is_kept.wait(0.1):
            if self._error is not None:
                raise Abandoned

    def _keep(self) -> None:
        """Turn what the network said into predictions of their own memory."""
        while (work := self._inferred.take()) is not None:
            size = work.message_bytes
            if work.batch is not None:
                predictions = self._predictor.postprocess(work.batch, work.outputs)
                for entry, prediction in zip(work.in_batch, predictions, strict=True):
                    assert entry.frame is not None
                    own = _own(prediction, entry.valid_mask)
                    size += 2 * _bytes_of(own)  # and as much once it is encoded
                    entry.encoded = self._encoders.submit(self._writer.encode, entry.frame, own)
                work.outputs = {}
                with contextlib.suppress(Abandoned):  # nothing is prepared any more
                    self._free.put(work.batch)
                work.batch = None
            work.is_kept.set()
            self._kept.put(work, size)
        self._kept.end()

    def _write(self) -> None:
        """Write predictions, and what is passed on."""
        while (work := self._kept.take()) is not None:
            for entry in work.entries:
                self._writer.take(entry)
            if work.ending is not None:
                self._ending = self._end(work.ending)

    def _end(self, ending: Ending) -> Ending:
        if ending.resume_at is None:
            self._writer.end_part(None, damage=ending.problem)
        else:
            self._writer.end_before(ending.resume_at)
        return ending


def _copy(array: NDArray[Scalar] | None) -> NDArray[Scalar] | None:
    return None if array is None else array.copy()


def _decode_again() -> DecodedImage:
    raise AssertionError("a frame is decoded once")


def _own(prediction: Prediction, valid_mask: NDArray[np.bool_] | None) -> Prediction:
    """A prediction that needs neither the batch nor the backend any more."""
    if valid_mask is not None:
        prediction = prediction.masked(valid_mask)
    return replace(
        prediction,
        image=prediction.image.copy(),
        labels=_copy(prediction.labels),
        normals=_copy(prediction.normals),
        confidence=_copy(prediction.confidence),
    )


def _bytes_of(prediction: Prediction) -> int:
    arrays = (prediction.labels, prediction.depth, prediction.normals, prediction.confidence)
    return prediction.image.nbytes + sum(array.nbytes for array in arrays if array is not None)
