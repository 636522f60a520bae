# SPDX-License-Identifier: Apache-2.0
"""Keeps what hardly ever happens from being asked for with every frame."""

from __future__ import annotations

import time
from typing import Any

from rclpy.callback_groups import CallbackGroup

_PERIOD = 1.0  # seconds between two looks
_LOOK = 0.05  # seconds that one lasts


class RarelyCheckedGroup(CallbackGroup):
    """Callbacks that the executor looks after once a second, in a node that wakes that often.

    rclpy's executor puts together anew what it waits for each time it waits, in Python. Every
    publisher adds the events of its quality of service to that: with eight cameras they cost three
    milliseconds of CPU time per frame. An event that is not looked at yet is not lost.
    """

    def __init__(self) -> None:
        """Begin with a look."""
        super().__init__()
        self._begun = time.monotonic()

    def can_execute(self, entity: Any) -> bool:
        """Whether this is the time to look."""
        now = time.monotonic()
        if now - self._begun >= _PERIOD:
            self._begun = now
        return now - self._begun < _LOOK

    def beginning_execution(self, entity: Any) -> bool:
        """Whether the callback may run: what was looked at may."""
        return True

    def ending_execution(self, entity: Any) -> None:
        """The callback has run."""
