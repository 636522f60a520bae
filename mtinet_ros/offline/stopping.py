# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM: once, what is under way is finished; twice, all ends at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Takes the two signals while it is entered; to be entered in the main thread.

    Attributes:
        signal: The one that came; 0: none.
    """

    def __init__(self) -> None:
        """Begin without a signal."""
        self.signal = 0
        self._former: dict[signal.Signals, Any] = {}

    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self.signal != 0

    def __enter__(self) -> Stopping:
        """Take the signals; one that is ignored, as SIGINT in a shell's background, stays so."""
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)  # parts that are whole stay; the one in work never counted
        self.signal = number
        if number == signal.SIGINT and sys.stderr is not None and sys.stderr.isatty():
            os.write(2, b"\nfinishing what is under way; Ctrl-C again ends at once\n")
