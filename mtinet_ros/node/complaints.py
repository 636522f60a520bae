# SPDX-License-Identifier: Apache-2.0
"""Log lines for what goes wrong at camera rate: once at first, then rarely, with a count."""

from __future__ import annotations

import threading
import time

from rclpy.impl.rcutils_logger import RcutilsLogger

_REPEAT_PERIOD = 30.0  # seconds between lines about a trouble that goes on


class Complaints:
    """Remembers what was already said. Thread-safe."""

    def __init__(self, logger: RcutilsLogger) -> None:
        """Complain to this logger."""
        self._logger = logger
        self._lock = threading.Lock()
        self._said: dict[str, tuple[str, float, int]] = {}

    def warn(self, subject: str, text: str) -> None:
        """Log a trouble unless the same was said of this subject lately.

        Args:
            subject: What it is about, e.g. `front: image`. One trouble is remembered per subject.
            text: The sentence. A different sentence is said at once.
        """
        now = time.monotonic()
        with self._lock:
            said, when, suppressed = self._said.get(subject, ("", -_REPEAT_PERIOD, 0))
            if said == text and now - when < _REPEAT_PERIOD:
                self._said[subject] = (said, when, suppressed + 1)
                return
            self._said[subject] = (text, now, 0)
        again = f" ({suppressed} more times since)" if suppressed and said == text else ""
        self._logger.warning(f"{subject}: {text}{again}")

    def once(self, subject: str, text: str) -> None:
        """Log a fact worth knowing, once until `settle`."""
        with self._lock:
            if self._said.get(subject, ("",))[0] == text:
                return
            self._said[subject] = (text, time.monotonic(), 0)
        self._logger.warning(f"{subject}: {text}")

    def settle(self, subject: str, text: str = "") -> None:
        """Forget a trouble that is over; with a text, say that it is."""
        with self._lock:
            known = self._said.pop(subject, None)
        if known and text:
            self._logger.info(f"{subject}: {text}")

    def current(self, prefix: str) -> list[str]:
        """Troubles known about subjects that start with `prefix`, for diagnostics."""
        with self._lock:
            return [
                said for subject, (said, _, _) in self._said.items() if subject.startswith(prefix)
            ]
