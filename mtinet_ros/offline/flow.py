# SPDX-License-Identifier: Apache-2.0
"""A queue between two threads that holds so much and no more."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Abandoned(Exception):  # noqa: N818  (a state, no error: the thread just ends)
    """Nobody takes from the flow, or gives to it, any more: something else has failed."""


class Flow(Generic[ItemT]):
    """A queue of one thread that gives and one that takes, limited by number and by bytes."""

    def __init__(self, most: int, most_bytes: int = 0) -> None:
        """Begin empty.

        Args:
            most: Items that wait at most.
            most_bytes: Bytes that wait at most, as far as `put` is told; a single item may be
                larger. 0: no limit.
        """
        self._most = most
        self._most_bytes = most_bytes
        self._items: deque[tuple[ItemT, int]] = deque()
        self._bytes = 0
        self._has_ended = False
        self._is_abandoned = False
        self._changed = threading.Condition()

    def put(self, item: ItemT, size: int = 0) -> None:
        """Wait for room and give an item of so many bytes.

        Raises:
            Abandoned: Nobody will take it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_abandoned or self._has_room(size))
            if self._is_abandoned:
                raise Abandoned
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()

    def take(self) -> ItemT | None:
        """Wait for the next item and take it; None: there will be no more.

        Raises:
            Abandoned: Who gives has failed, or who should go on with it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_abandoned or self._items or self._has_ended)
            if self._is_abandoned:
                raise Abandoned
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def end(self) -> None:
        """Say that there will be no more items; those that wait are still taken."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Wake up whoever waits; items that wait are lost."""
        with self._changed:
            self._is_abandoned = True
            self._items.clear()
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        if not self._items:
            return True
        is_light = not self._most_bytes or self._bytes + size <= self._most_bytes
        return len(self._items) < self._most and is_light
