# SPDX-License-Identifier: Apache-2.0
"""What a bag that is written says of a topic: its type's definition and hash, its QoS."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtinet_ros.recordings.frame import PassedMessage

if TYPE_CHECKING:
    from rosbags.interfaces import Qos
    from rosbags.typesys.store import Typestore

_MSG, _IDL = "ros2msg", "ros2idl"

# In place of a definition that nobody has: readers take it for a type without fields.
_NO_DEFINITION = "# The definition was not in the recording that this was copied from."


@dataclass(frozen=True)
class TopicDescription:
    """What a bag says of a topic.

    Attributes:
        name: Of the topic.
        type_name: E.g. `sensor_msgs/msg/Image`.
        definition: Text of the type's definition.
        definition_format: `ros2msg` or `ros2idl`.
        digest: Hash of the type (REP 2011); empty: not known.
        qos: Quality of service that publishers offered.
    """

    name: str
    type_name: str
    definition: str
    definition_format: str
    digest: str
    qos: tuple[Qos, ...]


def published_topic(
    typestore: Typestore, name: str, type_name: str, is_latched: bool = False
) -> TopicDescription:
    """A topic with the quality of service that the node offers: reliable, keep last 1."""
    definition, digest = _of_type(typestore, type_name)
    return TopicDescription(name, type_name, definition, _MSG, digest, (_node_qos(is_latched),))


def passed_topic(
    typestore: Typestore, message: PassedMessage
) -> tuple[TopicDescription | None, str]:
    """A topic as its recording described it.

    Args:
        typestore: Types whose definitions are known, for recordings without definitions.
        message: Its `connection` has `serialization`, `definition`, `definition_format`, `digest`
            and `qos` (YAML), each empty where the recording does not say.

    Returns:
        None if it cannot be in the bag; and what is to be told of it, or an empty string.
    """
    channel = message.connection
    if channel.serialization != "cdr":
        return None, (
            f"{message.topic} is not kept: it is serialized as {channel.serialization}, and a bag "
            "plays only if all of it is cdr"
        )
    make = functools.partial(
        TopicDescription, message.topic, message.type_name, qos=_parsed_qos(channel.qos)
    )
    if channel.definition and channel.definition_format in (_MSG, _IDL):
        digest = channel.digest or _hash_of(
            message.type_name, channel.definition, channel.definition_format
        )
        return make(channel.definition, channel.definition_format, digest), ""
    if message.type_name in typestore.fielddefs:
        return make(*_in_msg(*_of_type(typestore, message.type_name))), ""
    return make(_NO_DEFINITION, _MSG, channel.digest), (
        f"{message.topic} is kept, but readers other than ROS 2 cannot take it apart: the "
        f"recording has no definition of {message.type_name}"
    )


def _in_msg(definition: str, digest: str) -> tuple[str, str, str]:
    return definition, _MSG, digest


def _of_type(typestore: Typestore, type_name: str) -> tuple[str, str]:
    """Definition and hash of a type of the store."""
    definition, _ = typestore.generate_msgdef(type_name, ros_version=2)
    return definition, typestore.hash_rihs01(type_name)


def _hash_of(type_name: str, definition: str, definition_format: str) -> str:
    """Hash of a type, by its definition; empty if that cannot be understood."""
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    read: Callable[[], Any] = (
        functools.partial(get_types_from_msg, definition, type_name)
        if definition_format == _MSG
        else functools.partial(get_types_from_idl, definition)
    )
    try:
        store = get_typestore(Stores.EMPTY)
        store.register(read())
        return store.hash_rihs01(type_name)
    except Exception:  # text from outside: nothing but the hash depends on it
        return ""


def _node_qos(is_latched: bool) -> Qos:
    """What a recorder sees of a topic of the node's."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    infinite = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if is_latched else QosDurability.VOLATILE,
        deadline=infinite,
        lifespan=infinite,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=infinite,
        avoid_ros_namespace_conventions=False,
    )


def _parsed_qos(text: str) -> tuple[Qos, ...]:
    """Of any version of rosbag2; nothing if it cannot be understood: then a player's default."""
    from rosbags.rosbag2.metadata import parse_qos

    try:
        return tuple(parse_qos(text))
    except Exception:  # text from outside in foreign code
        return ()
