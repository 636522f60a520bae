# SPDX-License-Identifier: Apache-2.0
"""Newest frame first: one slot per camera, and the one thread that owns the backend.

Callbacks only `put`; they never wait. A frame that was not taken before the next one came is
handed back to be counted, so a slow network shows the present at a lower rate, never the past at
full.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mtinet_ros.errors import MtinetError
from mtinet_ros.inference import Backend

logger = logging.getLogger("mtinet_ros.node")

FrameT = TypeVar("FrameT")


class NewestFrames(Generic[FrameT]):
    """One slot per camera, each holding the newest frame that nobody has taken yet."""

    def __init__(self) -> None:
        """Start with empty slots; a camera's slot appears with its first frame."""
        self._frames: dict[str, FrameT] = {}
        self._turns: list[str] = []  # every camera known, the least recently served first
        self._changed = threading.Condition()
        self._closed = False

    def put(self, camera: str, frame: FrameT) -> FrameT | None:
        """Leave a frame.

        Returns:
            The frame that nobody will take: the older one that this one replaces, or this one
            itself once the slots are closed.
        """
        with self._changed:
            if self._closed:
                return frame
            if camera not in self._turns:
                self._turns.append(camera)
            replaced = self._frames.get(camera)
            self._frames[camera] = frame
            self._changed.notify()
        return replaced

    def take(self, max_cameras: int) -> dict[str, FrameT]:
        """Wait for frames and take those waiting, least recently served cameras first.

        Args:
            max_cameras: Largest number of cameras to take (the batch size).

        Returns:
            Frame by camera; empty once the slots are closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed)
            if self._closed:
                return {}
            cameras = [camera for camera in self._turns if camera in self._frames][:max_cameras]
            self._turns = [c for c in self._turns if c not in cameras] + cameras
            return {camera: self._frames.pop(camera) for camera in cameras}

    def close(self) -> list[FrameT]:
        """Wake the taker with an empty answer, for good; returns the frames not taken."""
        with self._changed:
            self._closed = True
            frames = list(self._frames.values())
            self._frames.clear()
            self._changed.notify_all()
        return frames


class WorkerEvents(Protocol[FrameT]):
    """Listener of the worker; its methods are called in the worker's thread."""

    def on_ready(self, backend: Backend) -> None:
        """The backend is loaded; frames are taken from now on."""

    def on_failed(self, error: MtinetError) -> None:
        """The backend could not be loaded; the worker has ended."""

    def on_frames(self, backend: Backend, frames: dict[str, FrameT]) -> None:
        """Frames to be processed, at most `backend.max_batch`; must not raise for a bad frame."""


class InferenceWorker(Generic[FrameT]):
    """The one thread that makes, uses and closes the backend (and so any CUDA context with it)."""

    def __init__(
        self,
        load: Callable[[], Backend],
        frames: NewestFrames[FrameT],
        events: WorkerEvents[FrameT],
    ) -> None:
        """Prepare the thread; `start` runs it.

        Args:
            load: Makes the backend; may take minutes and may raise `MtinetError`.
            frames: Slots that frames are taken from; closed by `stop`.
            events: Listener of the worker.
        """
        self._load = load
        self._frames = frames
        self._events = events
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mtinet_inference", daemon=True)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Ask the thread to finish its frame and end; returns whether it did in time [s]."""
        self._stopping.set()
        self._frames.close()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            backend = self._load()
        except Exception as error:
            self._report_failure(error)
            return
        try:
            if not self._stopping.is_set():
                self._events.on_ready(backend)
            while frames := self._frames.take(backend.max_batch):
                try:
                    self._events.on_frames(backend, frames)
                except Exception:
                    # The owner handles bad frames, so this is a defect; the next frame may work.
                    logger.exception("processing frames failed")
        finally:
            backend.close()

    def _report_failure(self, error: Exception) -> None:
        if self._stopping.is_set():  # nobody waits for it any more
            return
        if not isinstance(error, MtinetError):  # a fault of a vendor's library
            logger.error("loading the backend failed", exc_info=error)
            error = MtinetError(f"loading the backend failed: {error!r}")
        self._events.on_failed(error)
