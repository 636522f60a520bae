# SPDX-License-Identifier: Apache-2.0
"""Log lines for what goes wrong at camera rate: once at first, then rarely, with a count."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger

_PERIOD = 30.0  # seconds between lines about a problem that goes on
_MOST_LINES = 10  # lines about one subject in that time, whatever they say


@dataclass
class _Problem:
    """The problem of one subject.

    Attributes:
        text: The present sentence; empty: all is well.
        announced: Whether a line was logged since all was last well.
        said: The sentence last logged.
        logged_at: When the last lines were logged, on the steady clock in seconds.
        unlogged: How often the subject came up since without a line.
    """

    text: str = ""
    announced: bool = False
    said: str = ""
    logged_at: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    unlogged: int = 0


class ProblemLog:
    """Logs each problem once, then rarely, and knows which are present. Thread-safe.

    A subject is what a sentence is about, e.g. `front: image`; it has one problem at a time.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        """Log to `logger`."""
        self._logger = logger
        self._lock = threading.Lock()
        self._problems: dict[str, _Problem] = {}

    def report(self, subject: str, text: str) -> None:
        """Log a problem that may come up with every frame.

        The same sentence is logged every 30 s, with a count; another one at once, but no more than
        ten in 30 s, so that garbage at camera rate, each piece wrong in its own way, is no flood.
        """
        self._log(subject, text, _PERIOD)

    def report_once(self, subject: str, text: str) -> None:
        """Log a fact worth knowing, once until `resolve`."""
        self._log(subject, text, math.inf)

    def resolve(self, subject: str, text: str = "") -> None:
        """Note that a problem is over; with a text, say so if the problem itself was logged."""
        with self._lock:
            problem = self._problems.get(subject)
            if problem is None or not problem.text:
                return
            was_announced = problem.announced
            problem.text, problem.announced = "", False
            if was_announced:
                problem.unlogged = 0
        if was_announced and text:
            self._logger.info(f"{subject}: {text}")

    def current_of(self, subject: str) -> str:
        """The present problem of one subject; empty: all is well."""
        with self._lock:
            problem = self._problems.get(subject)
            return problem.text if problem else ""

    def current(self, prefix: str) -> list[str]:
        """Present problems of subjects that start with `prefix`, for diagnostics."""
        with self._lock:
            return [
                f"{subject.removeprefix(prefix)}: {problem.text}"
                for subject, problem in self._problems.items()
                if problem.text and subject.startswith(prefix)
            ]

    def _log(self, subject: str, text: str, repeat_period: float) -> None:
        now = time.monotonic()
        with self._lock:
            problem = self._problems.setdefault(subject, _Problem())
            goes_on = problem.announced and text == problem.said
            problem.text = text
            logged_at = problem.logged_at
            too_soon = goes_on and now - logged_at[-1] < repeat_period
            too_many = len(logged_at) == _MOST_LINES and now - logged_at[0] < _PERIOD
            if too_soon or too_many:
                problem.unlogged += 1
                return
            count, problem.unlogged = problem.unlogged, 0
            logged_at.append(now)
            problem.said, problem.announced = text, True
        since = f" ({count} more times since the last such line)" if count else ""
        self._logger.warning(f"{subject}: {text}{since}")
