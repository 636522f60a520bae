# SPDX-License-Identifier: Apache-2.0
"""Log lines for what goes wrong at camera rate: once at first, then rarely, with a count."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from rclpy.impl.rcutils_logger import RcutilsLogger

_PERIOD = 30.0  # seconds between lines about a trouble that goes on
_MOST_LINES = 10  # lines about one subject in that time, whatever they say


@dataclass
class _Trouble:
    """What is known about a subject.

    Attributes:
        text: The present sentence; empty: all is well.
        announced: Whether a line was logged since all was last well.
        said: The sentence last logged.
        said_at: When the last lines were logged, on the steady clock in seconds.
        unsaid: How often the subject came up since without a line.
    """

    text: str = ""
    announced: bool = False
    said: str = ""
    said_at: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    unsaid: int = 0


class ProblemLog:
    """Remembers what was already said. Thread-safe.

    A subject is what a sentence is about, e.g. `front: image`; it has one trouble at a time.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        """Complain to this logger."""
        self._logger = logger
        self._lock = threading.Lock()
        self._troubles: dict[str, _Trouble] = {}

    def report(self, subject: str, text: str) -> None:
        """Log a trouble that may come up with every frame.

        The same sentence is logged every 30 s, with a count; another one at once, but no more than
        ten in 30 s, so that garbage at camera rate, each piece wrong in its own way, is no flood.
        """
        self._complain(subject, text, _PERIOD)

    def report_once(self, subject: str, text: str) -> None:
        """Log a fact worth knowing, once until `resolve`."""
        self._complain(subject, text, math.inf)

    def resolve(self, subject: str, text: str = "") -> None:
        """Note that a trouble is over; with a text, say so if the trouble itself was logged."""
        with self._lock:
            trouble = self._troubles.get(subject)
            if trouble is None or not trouble.text:
                return
            was_announced = trouble.announced
            trouble.text, trouble.announced = "", False
            if was_announced:
                trouble.unsaid = 0
        if was_announced and text:
            self._logger.info(f"{subject}: {text}")

    def about(self, subject: str) -> str:
        """The present trouble of one subject; empty: all is well."""
        with self._lock:
            trouble = self._troubles.get(subject)
            return trouble.text if trouble else ""

    def current(self, prefix: str) -> list[str]:
        """Present troubles of subjects that start with `prefix`, for diagnostics."""
        with self._lock:
            return [
                f"{subject.removeprefix(prefix)}: {trouble.text}"
                for subject, trouble in self._troubles.items()
                if trouble.text and subject.startswith(prefix)
            ]

    def _complain(self, subject: str, text: str, repeat_period: float) -> None:
        now = time.monotonic()
        with self._lock:
            trouble = self._troubles.setdefault(subject, _Trouble())
            goes_on = trouble.announced and text == trouble.said
            trouble.text = text
            said_at = trouble.said_at
            too_soon = goes_on and now - said_at[-1] < repeat_period
            too_many = len(said_at) == _MOST_LINES and now - said_at[0] < _PERIOD
            if too_soon or too_many:
                trouble.unsaid += 1
                return
            count, trouble.unsaid = trouble.unsaid, 0
            said_at.append(now)
            trouble.said, trouble.announced = text, True
        since = f" ({count} more times since the last such line)" if count else ""
        self._logger.warning(f"{subject}: {text}{since}")
