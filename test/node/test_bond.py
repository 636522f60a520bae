# SPDX-License-Identifier: Apache-2.0
"""The heartbeat for nav2's lifecycle manager, against the other end's table of states.

bond's messages are not to be had from PyPI, so they travel through a double of the topic, which
delivers to everyone, the sender too, as a real one does. The manager's end follows bond/BondSM.sm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from mtinet_ros.node.bond import Bond

pytestmark = pytest.mark.ros


@dataclass
class Status:
    """The fields of bond/msg/Status."""

    header: SimpleNamespace = field(default_factory=SimpleNamespace)
    id: str = ""
    instance_id: str = ""
    active: bool = False
    heartbeat_timeout: float = 0.0
    heartbeat_period: float = 0.0


class Topic:
    """A topic: what is published reaches every subscriber, one message after the other."""

    def __init__(self) -> None:
        self.subscribers: list[Callable[[Status], None]] = []
        self.sent: list[Status] = []
        self._waiting: list[Status] = []

    def publish(self, status: Status) -> None:
        self.sent.append(status)
        self._waiting.append(status)
        assert len(self.sent) < 100, "the two ends answer each other for ever"
        if len(self._waiting) == 1:
            while self._waiting:
                for subscriber in list(self.subscribers):
                    subscriber(self._waiting[0])
                self._waiting.pop(0)


class NodeDouble:
    """What `Bond` asks of a node; `tick` is its timer."""

    def __init__(self, topic: Topic, name: str = "perception") -> None:
        self.topic, self.name = topic, name
        self.tick: Callable[[], None] = lambda: None
        self.given_back: list[str] = []

    def get_name(self) -> str:
        return self.name

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: "now"))

    def create_publisher(self, kind: type, topic: str, depth: int) -> Topic:
        assert (kind, topic) == (Status, "bond")
        return self.topic

    def create_subscription(self, kind: type, topic: str, callback: Any, depth: int) -> object:
        assert (kind, topic) == (Status, "bond")
        self.topic.subscribers.append(callback)
        return callback

    def create_timer(self, period: float, callback: Callable[[], None], clock: object) -> str:
        assert period == 0.25
        self.tick = callback
        return "timer"

    def destroy_timer(self, timer: object) -> None:
        self.tick = lambda: None
        self.given_back.append("timer")

    def destroy_subscription(self, subscription: Any) -> None:
        self.topic.subscribers.remove(subscription)
        self.given_back.append("subscription")

    def destroy_publisher(self, publisher: object) -> None:
        self.given_back.append("publisher")


class Manager:
    """The other end of one bond: waiting, alive, awaiting death, dead."""

    def __init__(self, topic: Topic, instance: str, bond_id: str = "perception") -> None:
        self.topic, self.instance, self.id = topic, instance, bond_id
        self.state, self.sister, self.sister_died_first = "waiting", "", False
        topic.subscribers.append(self.hear)

    def hear(self, status: Status) -> None:
        if status.id != self.id or status.instance_id == self.instance:
            return
        self.sister = self.sister or status.instance_id
        assert status.instance_id == self.sister, "more than two ends of one bond"
        if status.active:
            self.state = "alive" if self.state in ("waiting", "alive") else self.state
            return
        self.sister_died_first |= self.state in ("waiting", "alive")
        self.state = "dead"
        if self.sister_died_first:
            self.publish(active=False)

    def publish(self, *, active: bool) -> None:
        self.topic.publish(Status(id=self.id, instance_id=self.instance, active=active))

    def heartbeat(self) -> None:
        if self.state in ("waiting", "alive"):
            self.publish(active=True)
        elif self.state == "awaiting death":
            self.publish(active=False)

    def die(self) -> None:
        self.state = "awaiting death" if self.state == "alive" else "dead"
        self.publish(active=False)


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def node(topic: Topic) -> NodeDouble:
    return NodeDouble(topic)


@pytest.fixture
def bond(node: NodeDouble) -> Bond:
    return Bond(node, Status, 0.25)  # type: ignore[arg-type]  # a double


def test_a_managed_node_is_alive_from_activation_on(
    topic: Topic, node: NodeDouble, bond: Bond
) -> None:
    manager = Manager(topic, "manager")
    node.tick()
    assert manager.state == "waiting"
    assert topic.sent == []
    bond.begin()
    assert manager.state == "alive"
    for _ in range(3):
        node.tick()
        manager.heartbeat()
    assert manager.state == "alive"
    first = topic.sent[0]
    assert first.id == "perception"
    assert first.active
    assert (first.heartbeat_period, first.heartbeat_timeout) == (0.25, 4.0)


def test_deactivation_ends_the_bond_at_once_and_once(
    topic: Topic, node: NodeDouble, bond: Bond
) -> None:
    manager = Manager(topic, "manager")
    bond.begin()
    bond.end()
    assert manager.state == "dead"
    assert manager.sister_died_first
    count = len(topic.sent)
    node.tick()
    bond.end()
    assert len(topic.sent) == count  # silence, though the manager has answered


def test_the_end_by_the_manager_is_answered_and_no_heartbeat_follows(
    topic: Topic, node: NodeDouble, bond: Bond
) -> None:
    manager = Manager(topic, "manager")
    bond.begin()
    manager.die()
    assert manager.state == "dead"  # it has heard the answer
    count = len(topic.sent)
    node.tick()
    assert len(topic.sent) == count


def test_a_new_manager_finds_a_node_whose_last_one_has_gone(
    topic: Topic, node: NodeDouble, bond: Bond
) -> None:
    bond.begin()
    Manager(topic, "first").die()
    topic.subscribers.pop()  # its process has ended
    second = Manager(topic, "second")
    second.heartbeat()
    assert second.state == "alive"
    node.tick()
    assert second.state == "alive"


def test_an_activation_after_a_deactivation_forms_a_bond_of_its_own(
    topic: Topic, bond: Bond
) -> None:
    bond.begin()
    bond.end()
    manager = Manager(topic, "manager")
    bond.begin()
    assert manager.state == "alive"
    active = [status.instance_id for status in topic.sent if status.active]
    assert len(set(active)) == 2


def test_bonds_of_other_servers_on_the_same_topic_are_none_of_ours(
    topic: Topic, bond: Bond
) -> None:
    manager = Manager(topic, "manager")
    bond.begin()
    Manager(topic, "other", bond_id="planner_server").die()
    assert manager.state == "alive"
    assert {status.id for status in topic.sent} == {"perception", "planner_server"}
    assert [status.active for status in topic.sent if status.id == "perception"] == [True]


def test_cleaning_up_gives_the_topic_back(topic: Topic, node: NodeDouble, bond: Bond) -> None:
    manager = Manager(topic, "manager")
    bond.begin()
    bond.close()
    assert manager.state == "dead"
    assert sorted(node.given_back) == ["publisher", "subscription", "timer"]
