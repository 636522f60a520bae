# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM as something to be heard between two steps, not in the middle of one.

rclpy's own handlers shut the middleware down beneath whatever runs at that moment: a node that is
being made, a log line on its way to /rosout, a publisher. Each then fails in its own words.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NONE = b"\0"  # no signal's number
# Whoever presses Ctrl-C again after so many seconds sees no end coming. One that comes sooner is
# the same one: a terminal and `ros2 launch`, or systemd, may both signal a process.
_IMPATIENT = 1.0


@contextmanager
def given_back() -> Iterator[None]:
    """Whoever takes the signals in this block, they are as before behind it."""
    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def end_at_once() -> None:
    """While nothing is under way: either signal ends the process, with status 0.

    Not by an exception, which libraries that are being imported might take for one of theirs.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


class EndSignals:
    """Takes both signals from when it is made; to be made and used in the main thread.

    Attributes:
        has_come: Whether one of them has.
    """

    def __init__(self) -> None:
        """Take them, also where a shell's background had them ignored."""
        self.has_come = False
        self._thread: threading.Thread | None = None
        # Python's own handlers run when the main thread is back from waiting in C; the number is
        # written at once.
        self._numbers, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True

    def tell(self, listener: Callable[[], None]) -> None:
        """Call `listener` once one of them comes, or has come; in another thread.

        Ctrl-C again, later, ends the process at once, with status 130: whatever is under way, in
        which the listener's word may never be heard.
        """
        self._thread = threading.Thread(target=self._wait, args=(listener,), daemon=True)
        self._thread.start()

    def _wait(self, listener: Callable[[], None]) -> None:
        first: float | None = None
        while (number := os.read(self._numbers, 1)) != _NONE:
            if ord(number) not in _SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                listener()
            elif ord(number) == signal.SIGINT and time.monotonic() > first + _IMPATIENT:
                os._exit(128 + signal.SIGINT)

    def ignore(self) -> None:
        """Ignore both from here on, and call the listener no more."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        if self._thread is not None:
            os.write(self._writing, _NONE)
            self._thread.join()
        os.close(self._writing)
        os.close(self._numbers)
