# SPDX-License-Identifier: Apache-2.0
"""A subscription whose reliability and durability follow what the publishers offer.

Best-effort asks too little where publishers resend, and a reliable request gets nothing from
best-effort publishers. So, as rosbag2 and foxglove_bridge do: reliable if all publishers offer it,
best-effort otherwise; looked at again as publishers come and go. It is the same with durability:
a calibration that was latched long ago comes to those only who ask for transient local. The graph
is polled, because matched events exist in newer distributions only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home until Iron
from rclpy.exceptions import ParameterAlreadyDeclaredException
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.utilities import get_rmw_implementation_identifier

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.node.parameters import explained_overrides
from mtinet_ros.node.rarely_checked_group import RarelyCheckedGroup
from mtinet_ros.node.transport_advice import Transport

_POLLING_PERIOD = 0.5  # seconds
# Each policy's values, the most demanding first: it is asked for if all publishers offer it.
_POLICIES: dict[str, dict[str, Any]] = {
    "reliability": {
        "reliable": ReliabilityPolicy.RELIABLE,
        "best_effort": ReliabilityPolicy.BEST_EFFORT,
    },
    "durability": {
        "transient_local": DurabilityPolicy.TRANSIENT_LOCAL,
        "volatile": DurabilityPolicy.VOLATILE,
    },
}
# The usual overrides for all but those, whose default here is not one fixed value.
_OTHER_OVERRIDES = QoSOverridingOptions(policy_kinds=(QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH))


class _Polling:
    """One timer for all subscriptions of a node: each of its own would wake the executor."""

    def __init__(self) -> None:
        self.events = RarelyCheckedGroup()
        self._callbacks: list[Callable[[], None]] = []
        self._timer: Any = None

    def add(self, node: Node, callback: Callable[[], None]) -> None:
        if not self._callbacks:
            # The steady clock: simulated time may stand still.
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = node.create_timer(_POLLING_PERIOD, self._poll, clock=clock)
        self._callbacks.append(callback)

    def remove(self, node: Node, callback: Callable[[], None]) -> None:
        self._callbacks.remove(callback)
        if not self._callbacks:
            node.destroy_timer(self._timer)

    def _poll(self) -> None:
        for callback in list(self._callbacks):
            callback()


_pollings: WeakKeyDictionary[Node, _Polling] = WeakKeyDictionary()


class AdaptiveSubscription:
    """Keep-last 1 subscription to one topic, re-made when another quality fits better."""

    def __init__(
        self, node: Node, message_type: type[Any], topic: str, callback: Callable[[Any], None]
    ) -> None:
        """Subscribe.

        Args:
            node: Node that subscribes; `qos_overrides.<topic>.subscription.reliability` of it
                forces a reliability: reliable, best_effort or adaptive (the default); `durability`
                likewise: transient_local, volatile or adaptive.
            message_type: Message class.
            topic: Name, resolved and remapped as usual.
            callback: Called with every message.

        Raises:
            ConfigurationError: An override of the topic's quality of service is not allowed.
        """
        self._node = node
        self._polling = _pollings.setdefault(node, _Polling())
        self._message_type = message_type
        package, _, _ = message_type.__module__.partition(".")
        self._type_name = f"{package}/msg/{message_type.__name__}"
        self._transport = Transport.of_this_process(
            get_rmw_implementation_identifier(), os.environ
        )
        self._callback = callback
        self._largest = 0  # bytes that the largest message had
        # rclpy applies the remapping rules itself wherever it is given a name: a resolved one
        # would be remapped twice.
        self._name = topic
        self.topic = node.resolve_topic_name(topic)
        with explained_overrides(self.topic):
            self._forced = {policy: self._read_override(policy) for policy in _POLICIES}
            self._quality = self._fitting()
            self._subscription = self._subscribe()
        self._polling.add(node, self._adapt)

    def publishers(self) -> list[Any]:
        """Publishers of the topic now, as TopicEndpointInfo (whose module moved in Lyrical)."""
        return list(self._node.get_publishers_info_by_topic(self._name))

    def describe_publishers(self) -> str:
        """Publishers of the topic and the reliability they offer, for a log line."""
        publishers = self.publishers()
        if not publishers:
            return "; ".join(filter(None, ["nobody publishes it", self._transport.why_alone()]))
        mismatch = self.type_mismatch()
        if mismatch:
            return mismatch
        mine = self._quality["reliability"].name.lower()
        names = ", ".join(
            f"{p.node_namespace.rstrip('/')}/{p.node_name} ({p.topic_type}, "
            f"{p.qos_profile.reliability.name.lower()})"
            for p in publishers
        )
        return f"published by {names}; this node asks for {mine}; {self._transport.why_silent()}"

    def type_mismatch(self) -> str:
        """What is published on the topic in place of messages of its type; empty if nothing."""
        types = {publisher.topic_type for publisher in self.publishers()}
        if not types or self._type_name in types:
            return ""
        return (
            f"what is published there is {', '.join(sorted(types))}, and this node needs "
            f"{self._type_name}; set transport, or name another topic"
        )

    def destroy(self) -> None:
        """Unsubscribe."""
        self._polling.remove(self._node, self._adapt)
        self._node.destroy_subscription(self._subscription)

    def _read_override(self, policy: str) -> Any | None:
        name = f"qos_overrides.{self.topic}.subscription.{policy}"
        most, least = _POLICIES[policy]
        descriptor = ParameterDescriptor(
            description=f"adaptive: {most} if all publishers offer it, else {least}",
            additional_constraints=f"One of: adaptive, {most}, {least}.",
            read_only=True,
        )
        try:
            value: object = self._node.declare_parameter(name, "adaptive", descriptor).value
        except ParameterAlreadyDeclaredException:
            value = self._node.get_parameter(name).value
        if value == "adaptive":
            return None
        if value not in _POLICIES[policy]:
            raise ConfigurationError(
                f"{name}: {value!r} is not allowed; choose from adaptive, {most}, {least}"
            )
        return _POLICIES[policy][str(value)]

    def _fitting(self) -> dict[str, Any]:
        """The quality of service that fits the present publishers, by policy."""
        publishers = self.publishers()
        fitting = {}
        for policy, values in _POLICIES.items():
            most, least = values.values()
            offered = [getattr(publisher.qos_profile, policy) for publisher in publishers]
            suits_all = bool(offered) and all(value == most for value in offered)
            fitting[policy] = self._forced[policy] or (most if suits_all else least)
        return fitting

    def _subscribe(self) -> Any:
        profile = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, **self._quality)
        subscription = self._node.create_subscription(
            self._message_type,
            self._name,
            self._measured if self._transport.is_by_udp else self._callback,
            profile,
            qos_overriding_options=_OTHER_OVERRIDES,
        )
        for event in subscription.event_handlers:
            event.callback_group = self._polling.events
        return subscription

    def _measured(self, message: Any) -> None:
        """Say once of each larger size that some of such images cannot arrive, and go on."""
        size = len(getattr(message, "data", ()))
        if size > self._largest:
            self._largest = size
            if advice := self._transport.too_small_buffer(size):
                self._node.get_logger().warning(f"{self.topic}: {advice}")
        self._callback(message)

    def _adapt(self) -> None:
        if not self.publishers():
            return
        fitting = self._fitting()
        if fitting == self._quality:
            return
        names = " and ".join(value.name.lower() for value in fitting.values())
        self._node.get_logger().info(
            f"{self.topic}: now asking for {names}, as its publishers offer it"
        )
        self._quality = fitting
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._subscribe()
