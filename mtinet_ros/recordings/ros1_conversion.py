# SPDX-License-Identifier: Apache-2.0
"""Messages of ROS 1 as ROS 2 has them: serialized as CDR, of types that it can define."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_definitions import MSG, SERIALIZATION, definition_of
from mtinet_ros.recordings.bag_storage import ROS1, Channel, StoredMessage
from mtinet_ros.recordings.bag_types import open_typestore

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore


class Ros1Conversion:
    """Converts messages of ROS 1 and leaves all others alone; used in one thread at a time."""

    def __init__(self) -> None:
        """Begin; types are loaded with the first message of ROS 1."""
        self._types: Typestore | None = None
        self._channels: dict[Channel, Channel] = {}

    def convert(self, stored: StoredMessage) -> StoredMessage:
        """The message in CDR, its channel with the definition of ROS 2.

        Raises:
            InputError: The type's definition, or the message, cannot be understood.
        """
        channel = stored.channel
        if channel.serialization != ROS1:
            return stored
        if self._types is None:
            self._types = open_typestore()
        if channel not in self._channels:
            self._channels[channel] = _converted(self._types, channel)
        try:
            data = bytes(self._types.ros1_to_cdr(stored.data, channel.type_name))
        except Exception as error:  # bytes from outside in foreign code
            raise InputError(
                f"a message of {len(stored.data)} bytes is no {channel.type_name} of ROS 1: "
                f"{_in_one_line(error)}"
            ) from error
        return StoredMessage(stored.time, self._channels[channel], data)


def _converted(types: Typestore, channel: Channel) -> Channel:
    from rosbags.typesys import get_types_from_msg

    if channel.type_name not in types.fielddefs:
        try:
            found = get_types_from_msg(channel.definition, channel.type_name)
            # What ROS 2 has too, such as Header, is as ROS 2 has it.
            types.register({name: found[name] for name in found.keys() - types.fielddefs.keys()})
        except Exception as error:  # text from outside in foreign code
            raise InputError(
                f"the definition of {channel.type_name}, of ROS 1, cannot be understood: "
                f"{_in_one_line(error)}"
            ) from error
    definition, digest = definition_of(types, channel.type_name)
    return replace(
        channel,
        serialization=SERIALIZATION,
        definition=definition,
        definition_format=MSG,
        digest=digest,
    )


def _in_one_line(error: Exception) -> str:
    return str(error).replace("\n", " ").rstrip(". ")[:200] or type(error).__name__
