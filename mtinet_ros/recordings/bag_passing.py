# SPDX-License-Identifier: Apache-2.0
"""What a bag says of topics whose messages go into it as they were recorded."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from mtinet_ros.recordings.bag_definitions import (
    IDL,
    MSG,
    SERIALIZATION,
    TopicDescription,
    definition_of,
)
from mtinet_ros.recordings.bag_storage import Channel
from mtinet_ros.recordings.frame import PassedMessage

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

# In place of a definition that nobody has: readers take it for a type without fields.
_NO_DEFINITION = "# The definition was not in the recording that this was copied from."


def passed_topic(
    typestore: Typestore, message: PassedMessage
) -> tuple[TopicDescription | None, str]:
    """A topic as its recording described it.

    Args:
        typestore: Types whose definitions are known, for recordings that do not bring them.
        message: Its `connection` is the `Channel` that the recording has.

    Returns:
        None if it cannot be in the bag; and what is to be told of it, or an empty string.
    """
    channel: Channel = message.connection
    make = functools.partial(
        TopicDescription, message.topic, message.type_name, qos=_by_number(channel.qos)
    )
    if channel.serialization != SERIALIZATION:
        return None, (
            f"{message.topic} is not kept: it is serialized as {channel.serialization}, and a bag "
            f"plays only if all of it is {SERIALIZATION}"
        )
    # A type without fields has an empty definition, and says so.
    if channel.definition_format == MSG or (
        channel.definition and channel.definition_format == IDL
    ):
        digest = channel.digest or _hash_of(channel)
        return make(channel.definition, channel.definition_format, digest), ""
    if channel.type_name in typestore.fielddefs:
        definition, digest = definition_of(typestore, channel.type_name)
        return make(definition, MSG, digest), ""
    return make(_NO_DEFINITION, MSG, channel.digest), (
        f"{message.topic} is kept, but readers other than ROS 2 cannot take it apart: the "
        f"recording has no definition of {message.type_name}"
    )


def _hash_of(channel: Channel) -> str:
    """Hash of a type, by its definition; empty if that cannot be understood."""
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    try:
        store = get_typestore(Stores.EMPTY)
        if channel.definition_format == IDL:
            store.register(get_types_from_idl(channel.definition))
        else:
            store.register(get_types_from_msg(channel.definition, channel.type_name))
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
