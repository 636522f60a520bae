# SPDX-License-Identifier: Apache-2.0
"""Counting what happens to a camera's frames: rates, latency, and why frames were not answered."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

# Rates and percentiles speak of this last stretch of time, in seconds.
_WINDOW = 10.0


class DropReason(str, Enum):
    """Why a frame was not answered, in the words of /diagnostics."""

    MAX_RATE = "max_rate"
    WAITING_FOR_CAMERA_INFO = "waiting for camera_info"
    NOT_READY = "engine not ready"
    TOO_OLD = "older than max_age_ms"
    REPLACED = "newer frame came"
    STOPPED = "stopped"
    NO_SUBSCRIBERS = "nobody listens"
    UNUSABLE = "unusable image"
    INFERENCE_FAILED = "inference failed"
    DEFECT = "defect"


@dataclass(frozen=True)
class StreamSummary:
    """A camera's last ten seconds, and totals since the start.

    `received` is `published`, all of `dropped`, and the few frames that are under way.

    Attributes:
        input_rate: Frames received, per second.
        output_rate: Frames answered, per second.
        latency_p50: Median time from receipt to publish, in seconds; NaN without answers.
        latency_p99: The 99th percentile of the same.
        age_of_last_frame: Seconds since the last frame was received, or since subscribing.
        received: Frames received since the start.
        published: Frames answered since the start.
        dropped: Frames not answered since the start, by reason.
    """

    input_rate: float
    output_rate: float
    latency_p50: float
    latency_p99: float
    age_of_last_frame: float
    received: int = 0
    published: int = 0
    dropped: dict[DropReason, int] = field(default_factory=dict)


class StreamStatistics:
    """Thread-safe counters of one camera. All times are of the steady clock, in seconds."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._received: deque[float] = deque()
        self._answered: deque[tuple[float, float]] = deque()
        self._total_received = self._total_answered = 0
        self._dropped: Counter[DropReason] = Counter()
        self._started = self._last_received = time.monotonic()

    def subscribed(self, now: float) -> None:
        """Begin rates and latencies anew; totals go on."""
        with self._lock:
            self._started = self._last_received = now
            self._received.clear()
            self._answered.clear()

    def frame_received(self, now: float) -> None:
        """A frame came in."""
        with self._lock:
            self._last_received = now
            self._received.append(now)
            self._total_received += 1
            self._forget(now)

    def frame_answered(self, received: float, now: float) -> None:
        """The outputs of the frame received then were published."""
        with self._lock:
            self._answered.append((now, now - received))
            self._total_answered += 1

    def frame_dropped(self, reason: DropReason) -> None:
        """A frame will not be answered."""
        with self._lock:
            self._dropped[reason] += 1

    def summary(self, now: float | None = None) -> StreamSummary:
        """Rates, latencies and drop counts at `now` (default: this moment)."""
        now = time.monotonic() if now is None else now
        with self._lock:
            self._forget(now)
            window = min(_WINDOW, max(now - self._started, 1.0))
            latencies = [latency for _, latency in self._answered] or [np.nan]
            p50, p99 = np.percentile(latencies, (50, 99))
            return StreamSummary(
                input_rate=len(self._received) / window,
                output_rate=len(self._answered) / window,
                latency_p50=float(p50),
                latency_p99=float(p99),
                age_of_last_frame=now - self._last_received,
                received=self._total_received,
                published=self._total_answered,
                dropped=dict(self._dropped),
            )

    def _forget(self, now: float) -> None:
        while self._received and self._received[0] < now - _WINDOW:
            self._received.popleft()
        while self._answered and self._answered[0][0] < now - _WINDOW:
            self._answered.popleft()
