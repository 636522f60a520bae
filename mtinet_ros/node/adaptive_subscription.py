# SPDX-License-Identifier: Apache-2.0
"""A subscription whose reliability follows what the publishers offer.

Best-effort asks too little where publishers resend, and a reliable request gets nothing from
best-effort publishers. So, as rosbag2 and foxglove_bridge do: reliable if all publishers offer it,
best-effort otherwise; looked at again as publishers come and go. The graph is polled, because
matched events exist in newer distributions only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home until Iron
from rclpy.exceptions import ParameterAlreadyDeclaredException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.node.parameters import explained_overrides

_POLLING_PERIOD = 0.5  # seconds
_FORCED = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}
# The usual overrides for all but reliability, whose default here is not one fixed value.
_OTHER_OVERRIDES = QoSOverridingOptions(
    policy_kinds=(QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.DURABILITY)
)


class AdaptiveSubscription:
    """Keep-last 1 subscription to one topic, re-made when another reliability fits better."""

    def __init__(
        self, node: Node, message_type: type[Any], topic: str, callback: Callable[[Any], None]
    ) -> None:
        """Subscribe.

        Args:
            node: Who subscribes. Its parameter `qos_overrides.<topic>.subscription.reliability`
                forces a reliability: reliable, best_effort or adaptive (the default).
            message_type: Message class.
            topic: Name, resolved and remapped as usual.
            callback: Called with every message.

        Raises:
            ConfigurationError: An override of the topic's quality of service is not allowed.
        """
        self._node = node
        self._message_type = message_type
        self._callback = callback
        self.topic = node.resolve_topic_name(topic)
        with explained_overrides(self.topic):
            self._forced = self._read_override()
            self._reliability = self._forced or self._fitting_reliability()
            self._subscription = self._subscribe()
        # The steady clock: simulated time may stand still.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_POLLING_PERIOD, self._adapt, clock=clock)

    def publishers(self) -> list[Any]:
        """Who publishes on the topic now, as TopicEndpointInfo (whose module moved in Lyrical)."""
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def describe_publishers(self) -> str:
        """Who publishes on the topic, and with what reliability, for a log line."""
        publishers = self.publishers()
        if not publishers:
            return "nobody publishes it"
        mine = self._reliability.name.lower()
        names = ", ".join(
            f"{p.node_namespace.rstrip('/')}/{p.node_name} ({p.topic_type}, "
            f"{p.qos_profile.reliability.name.lower()})"
            for p in publishers
        )
        return (
            f"published by {names}; this node asks for {mine}. If they do send, images above "
            "0.5 MB get lost on the way: give the driver the Fast DDS profile too "
            "(docs/installation.md)"
        )

    def destroy(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _read_override(self) -> ReliabilityPolicy | None:
        name = f"qos_overrides.{self.topic}.subscription.reliability"
        descriptor = ParameterDescriptor(
            description="adaptive: reliable if all publishers offer it, else best_effort",
            additional_constraints="One of: adaptive, reliable, best_effort.",
            read_only=True,
        )
        try:
            value: object = self._node.declare_parameter(name, "adaptive", descriptor).value
        except ParameterAlreadyDeclaredException:
            value = self._node.get_parameter(name).value
        if value == "adaptive":
            return None
        if value not in _FORCED:
            raise ConfigurationError(
                f"{name}: {value!r} is not allowed; choose from adaptive, {', '.join(_FORCED)}"
            )
        return _FORCED[value]

    def _fitting_reliability(self) -> ReliabilityPolicy:
        offered = [p.qos_profile.reliability for p in self.publishers()]
        all_reliable = bool(offered) and all(o == ReliabilityPolicy.RELIABLE for o in offered)
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self) -> Any:
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=1, reliability=self._reliability
        )
        return self._node.create_subscription(
            self._message_type,
            self.topic,
            self._callback,
            profile,
            qos_overriding_options=_OTHER_OVERRIDES,
        )

    def _adapt(self) -> None:
        if self._forced is not None or not self.publishers():
            return
        fitting = self._fitting_reliability()
        if fitting == self._reliability:
            return
        self._node.get_logger().info(
            f"{self.topic}: now asking for {fitting.name.lower()}, as its publishers offer it"
        )
        self._reliability = fitting
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._subscribe()
