# SPDX-License-Identifier: Apache-2.0
"""What a bag that is written says of a topic: its type's definition and hash, its QoS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

SERIALIZATION = "cdr"
MSG, IDL = "ros2msg", "ros2idl"


@dataclass(frozen=True)
class TopicDescription:
    """What a bag says of a topic.

    Attributes:
        name: Of the topic.
        type_name: E.g. `sensor_msgs/msg/Image`.
        definition: Text of the type's definition.
        definition_format: `ros2msg` or `ros2idl`.
        digest: Hash of the type (REP 2011); empty: not known.
        qos: Quality of service that publishers offered: YAML, policies by number, as all versions
            of rosbag2 read it; empty: not known.
    """

    name: str
    type_name: str
    definition: str
    definition_format: str
    digest: str
    qos: str


def published_topic(
    typestore: Typestore, name: str, type_name: str, is_latched: bool = False
) -> TopicDescription:
    """A topic with the quality of service that the node offers: reliable, keep last 1."""
    definition, digest = definition_of(typestore, type_name)
    return TopicDescription(name, type_name, definition, MSG, digest, _node_qos(is_latched))


def definition_of(typestore: Typestore, type_name: str) -> tuple[str, str]:
    """Definition, as `ros2msg`, and hash of a type of the store."""
    definition, _ = typestore.generate_msgdef(type_name, ros_version=2)
    return definition, typestore.hash_rihs01(type_name)


def _node_qos(is_latched: bool) -> str:
    """What a recorder sees of a topic of the node's; the numbers are rmw's."""
    infinite = {"sec": 9223372036, "nsec": 854775807}  # RMW_DURATION_INFINITE
    keep_last, reliable, transient_local, volatile, automatic = 1, 1, 1, 2, 1
    profile = {
        "history": keep_last,
        "depth": 1,
        "reliability": reliable,
        "durability": transient_local if is_latched else volatile,
        "deadline": dict(infinite),
        "lifespan": dict(infinite),
        "liveliness": automatic,
        "liveliness_lease_duration": dict(infinite),
        "avoid_ros_namespace_conventions": False,
    }
    return str(yaml.safe_dump([profile], sort_keys=False))
