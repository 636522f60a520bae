# SPDX-License-Identifier: Apache-2.0
"""Messages of a recording that go into a bag as they are, or from ROS 1 as ROS 2 has them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtinet_ros.recordings.bag_definitions import (
    IDL,
    MSG,
    SERIALIZATION,
    TopicDescription,
    definition_of,
)
from mtinet_ros.recordings.bag_storage import ROS1, Channel
from mtinet_ros.recordings.frame import PassedMessage

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

# In place of a definition that nobody has: readers take it for a type without fields.
_NO_DEFINITION = "# The definition was not in the recording that this was copied from."

Content = bytes | memoryview


@dataclass(frozen=True)
class PassedTopic:
    """How messages of a topic go into a bag.

    Attributes:
        description: What the bag says of it; None: they cannot be in it.
        problem: What is to be told, or empty.
        convert: From what was recorded to what is written. Raises whatever rosbags does.
    """

    description: TopicDescription | None
    problem: str = ""
    convert: Callable[[bytes], Content] = bytes


def passed_topic(typestore: Typestore, message: PassedMessage) -> PassedTopic:
    """How messages like this one go into a bag.

    Args:
        typestore: Types whose definitions are known, for recordings that do not bring them; types
            of ROS 1 are added.
        message: Its `connection` is the `Channel` that the recording has.
    """
    channel: Channel = message.connection
    make = functools.partial(
        TopicDescription, message.topic, message.type_name, qos=_by_number(channel.qos)
    )
    if channel.serialization == ROS1:
        return _from_ros1(typestore, make, channel)
    if channel.serialization != SERIALIZATION:
        return PassedTopic(
            None,
            f"{message.topic} is not kept: it is serialized as {channel.serialization}, and a bag "
            f"plays only if all of it is {SERIALIZATION}",
        )
    if channel.definition and channel.definition_format in (MSG, IDL):
        digest = channel.digest or _hash_of(channel)
        return PassedTopic(make(channel.definition, channel.definition_format, digest))
    if channel.type_name in typestore.fielddefs:
        return PassedTopic(_known(typestore, make, channel))
    return PassedTopic(
        make(_NO_DEFINITION, MSG, channel.digest),
        f"{message.topic} is kept, but readers other than ROS 2 cannot take it apart: the "
        f"recording has no definition of {message.type_name}",
    )


def _from_ros1(
    typestore: Typestore, make: Callable[..., TopicDescription], channel: Channel
) -> PassedTopic:
    if channel.type_name not in typestore.fielddefs:
        try:
            types = _types_of(channel, MSG)
            typestore.register(
                {name: type_ for name, type_ in types.items() if name not in typestore.fielddefs}
            )
        except Exception as error:  # text from outside in foreign code
            return PassedTopic(
                None,
                f"{channel.topic} is not kept: the definition of {channel.type_name}, of ROS 1, "
                f"cannot be understood: {_in_one_line(error)}",
            )
    return PassedTopic(
        _known(typestore, make, channel),
        convert=functools.partial(typestore.ros1_to_cdr, typename=channel.type_name),
    )


def _known(
    typestore: Typestore, make: Callable[..., TopicDescription], channel: Channel
) -> TopicDescription:
    definition, digest = definition_of(typestore, channel.type_name)
    return make(definition, MSG, digest)


def _types_of(channel: Channel, definition_format: str) -> Any:
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    if definition_format == IDL:
        return get_types_from_idl(channel.definition)
    return get_types_from_msg(channel.definition, channel.type_name)


def _hash_of(channel: Channel) -> str:
    """Hash of a type, by its definition; empty if that cannot be understood."""
    from rosbags.typesys import Stores, get_typestore

    try:
        store = get_typestore(Stores.EMPTY)
        store.register(_types_of(channel, channel.definition_format))
        return store.hash_rihs01(channel.type_name)
    except Exception:  # text from outside: nothing but the hash depends on it
        return ""


def _by_number(qos: str) -> str:
    """From what any version of rosbag2 wrote; nothing, and so a player's default, if it is odd."""
    from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos

    try:
        return dump_qos_v8(parse_qos(qos))
    except Exception:  # text from outside in foreign code
        return ""


def _in_one_line(error: Exception) -> str:
    return str(error).replace("\n", " ").rstrip(". ")[:200] or type(error).__name__


def conversion_problem(topic: str, error: Exception) -> str:
    """What to tell of a message that could not be converted."""
    return f"a message of {topic} is not kept: {_in_one_line(error)}"
