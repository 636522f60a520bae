# SPDX-License-Identifier: Apache-2.0
"""What is inside the messages of a bag, which rosbags understands."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.messages.header import stamp_of
from mtinet_ros.recordings.bag_storage import (
    ROS1,
    ZSTD_MAGIC,
    StoredMessage,
    zstd,
)
from mtinet_ros.recordings.frame import Header

# Bytes before a header's stamp: ROS 2's encapsulation, or ROS 1's sequence number. Both take 4.
_BEFORE_STAMP, _STAMP_BYTES = 4, 8


@functools.cache
def _typestore(name: str) -> Any:
    """The types of a distribution of ROS; making it takes a while. Raises `ConfigurationError`.

    Those that are read here have been the same in every ROS 2; a bag need not define them.
    """
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ConfigurationError(
            "reading bags needs the package rosbags; pip install 'mtinet_ros[process]'"
        ) from error
    return get_typestore(Stores[name])


class MessageReader:
    """Deserializes images and calibrations; used in one thread at a time."""

    def __init__(self) -> None:
        """Load the types of ROS.

        Raises:
            ConfigurationError: rosbags is not installed.
        """
        self._ros1: Any = None
        self._ros2 = _typestore("LATEST")

    def message(self, stored: StoredMessage) -> Any:
        """The message, of plain data; arrays in it are views of them.

        Raises:
            InputError: It cannot be deserialized.
        """
        data, channel = stored.data, stored.channel
        try:
            if channel.serialization == ROS1:
                self._ros1 = self._ros1 or _typestore("ROS1_NOETIC")
                return self._ros1.deserialize_ros1(data, channel.type_name)
            return self._ros2.deserialize_cdr(data, channel.type_name)
        except Exception as error:  # bytes from outside in foreign code
            raise InputError(
                f"a message of {len(data)} bytes cannot be deserialized as {channel.type_name}: "
                "it is damaged or was cut off"
            ) from error

    def camera_info(self, stored: StoredMessage) -> tuple[bytes, Any]:
        """All of a CameraInfo but its stamp, as bytes, and the message (of those it is one).

        Raises:
            InputError: It cannot be deserialized.
        """
        message = self.message(stored)
        content = bytes(stored.data[_BEFORE_STAMP + _STAMP_BYTES :])
        if stored.channel.serialization == ROS1:
            message = SimpleNamespace(
                **{
                    name.lower(): getattr(message, name)
                    for name in vars(type(message)).get("__annotations__", {})
                    if not name.startswith("__")
                }
            )
        return content, message

    @staticmethod
    def header(message: Any) -> Header:
        """The header of a message."""
        return Header(stamp_of(message.header), str(message.header.frame_id))


def plain(stored: StoredMessage) -> StoredMessage:
    """The message with its data unpacked, if the recorder compressed message by message.

    No metadata are asked: a serialized message of ROS 2 begins with another byte than zstd's.

    Raises:
        InputError: It cannot be unpacked.
    """
    data = stored.data
    if stored.channel.serialization == ROS1 or data[:4] != ZSTD_MAGIC:
        return stored
    module = zstd()
    try:
        return stored._replace(data=module.decompress(data))
    except module.ZstdError as error:
        raise InputError(
            f"a message of {len(data)} bytes is damaged: zstd says: {str(error).rstrip('.')}"
        ) from error
