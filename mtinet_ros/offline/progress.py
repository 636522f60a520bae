# SPDX-License-Identifier: Apache-2.0
"""How far a run is: one line that is rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from mtinet_ros.recordings.frame import Interval

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 30.0
# The rate is that of the last so many seconds.
_RATE_SECONDS = 15.0


class Progress:
    """Shows how far a run is while it is entered, from a thread of its own."""

    def __init__(
        self,
        name: str,
        interval: Interval,
        done: Callable[[], tuple[int, int | None]],
        stream: TextIO | None = None,
    ) -> None:
        """Prepare.

        Args:
            name: Of the recording.
            interval: What there is to do, in ns of its axis; open where nobody knows.
            done: Gives frames that are written, and the time they reach to.
            stream: Where to (stderr).
        """
        self._stream = stream or sys.stderr
        self._name = name
        self._interval = interval
        self._done = done
        self._is_terminal = self._stream is not None and self._stream.isatty()
        self._has_ended = threading.Event()
        self._history: deque[tuple[float, int]] = deque()
        self._begun = 0.0
        self._thread = threading.Thread(target=self._run, name="mtinet_progress", daemon=True)

    def __enter__(self) -> Progress:
        """Begin to show it."""
        self._begun = time.monotonic()
        self._history.append((self._begun, self._done()[0]))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and take the line off a terminal."""
        self._has_ended.set()
        self._thread.join()
        if self._is_terminal:
            print("\r\033[K", end="", file=self._stream, flush=True)

    def line(self, now: float) -> str:
        """What to show at a time of the steady clock [s]."""
        frames, reached = self._done()
        self._history.append((now, frames))
        while len(self._history) > 2 and now - self._history[1][0] > _RATE_SECONDS:
            self._history.popleft()
        then, before = self._history[0]
        rate = (frames - before) / (now - then) if now > then else 0.0
        text = f"{self._name}: {frames} frames, {rate:.1f} frames/s"
        start, end = self._interval.start, self._interval.end
        if start is None or end is None or end <= start or reached is None:
            return text
        share = min(1.0, max(0.0, (reached - start) / (end - start)))
        text += f", {share:.0%}"
        if share > 0.0:
            text += f", {_clock((now - self._begun) * (1.0 - share) / share)} left"
        return text

    def _run(self) -> None:
        pause = _TERMINAL_SECONDS if self._is_terminal else _LOG_SECONDS
        while not self._has_ended.wait(pause):
            text = self.line(time.monotonic())
            if self._is_terminal:
                print(f"\r{text}\033[K", end="", file=self._stream, flush=True)
            else:
                print(text, file=self._stream, flush=True)


def _clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
