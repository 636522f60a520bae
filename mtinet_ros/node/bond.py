# SPDX-License-Identifier: Apache-2.0
"""The node's side of a bond: a heartbeat that tells nav2's lifecycle manager that it is alive.

The protocol is that of bond_core: both ends publish bond/msg/Status on one topic, under one id and
with an instance id of their own; `active: false` ends the bond, and is answered with the same.
nav2's servers begin theirs when they are activated and end it when they are deactivated
(nav2_ros_common/lifecycle_node.hpp), on the relative topic `bond`, under their names.

The manager's end is not watched, as nav2's servers do not watch it either: without a manager the
cameras go on.
"""

from __future__ import annotations

import uuid
from typing import Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home until Iron
from rclpy.lifecycle import LifecycleNode

# What nav2's servers say; each end goes by its own values.
_HEARTBEAT_TIMEOUT = 4.0  # seconds

_SENT = 5  # kept for a subscriber that is slow
_RECEIVED = 100  # the bonds of all servers share the topic


def bond_status_type() -> type[Any] | None:
    """The message class of bonds, or None where its package is not installed."""
    try:
        from bond.msg import Status
    except ImportError:
        return None
    return Status  # type: ignore[no-any-return]  # Any without the package


class Bond:
    """Heartbeats from `begin` to `end`; belongs to the executor's thread."""

    def __init__(self, node: LifecycleNode, status_type: type[Any], period: float) -> None:
        """Set up the topic.

        Args:
            node: Whose heart beats; its name is the bond's id.
            status_type: See `bond_status_type`.
            period: Seconds between two heartbeats.
        """
        self._node = node
        self._status_type = status_type
        self._period = period
        self._instance = ""  # of this end; empty: there is no bond
        self._ended_by = ""  # instance of the other end that has ended the last one
        # Not a lifecycle publisher, whose last word would be lost on deactivation.
        self._publisher = node.create_publisher(status_type, "bond", _SENT)
        self._subscription = node.create_subscription(
            status_type, "bond", self._on_status, _RECEIVED
        )
        self._timer = node.create_timer(
            period, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def begin(self) -> None:
        """Heartbeats from now on."""
        self._ended_by = ""
        self._instance = str(uuid.uuid4())
        self._beat()

    def end(self) -> None:
        """Say that there are none from now on."""
        instance, self._instance = self._instance, ""  # the answer to it is not to be answered
        if instance:
            self._publish(instance, is_active=False)

    def close(self) -> None:
        """End it, and give the topic back."""
        self.end()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    def _beat(self) -> None:
        if self._instance and not self._ended_by:
            self._publish(self._instance, is_active=True)

    def _on_status(self, status: Any) -> None:
        if status.id != self._node.get_name() or status.instance_id == self._instance:
            return  # another server's, or the echo of our own
        if not self._instance:
            return
        if not status.active:
            # Answered each time: the other end repeats itself until it has heard the answer.
            self._ended_by = status.instance_id
            self._publish(self._instance, is_active=False)
        elif self._ended_by and status.instance_id != self._ended_by:
            self.begin()  # a new manager, after the last one has gone

    def _publish(self, instance: str, *, is_active: bool) -> None:
        status = self._status_type()
        status.header.stamp = self._node.get_clock().now().to_msg()
        status.id = self._node.get_name()
        status.instance_id = instance
        status.active = is_active
        status.heartbeat_timeout = _HEARTBEAT_TIMEOUT
        status.heartbeat_period = self._period
        self._publisher.publish(status)
