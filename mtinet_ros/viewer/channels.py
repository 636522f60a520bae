# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag can be shown."""

from __future__ import annotations

from collections.abc import Iterable

from mtinet_ros.recordings.bag_storage import CDR, Channel
from mtinet_ros.viewer.messages import OVERLAY, PICTURE, SHOWN


def cameras_in(channels: Iterable[Channel], prefix: str) -> dict[Channel, tuple[str, str]]:
    """Channels of a node, with the camera and the name below it of each."""
    found = {}
    for channel in channels:
        camera, _, name = channel.topic.removeprefix(prefix).partition("/")
        if channel.topic.startswith(prefix) and name in SHOWN and channel.serialization == CDR:
            found[channel] = (camera, name)
    with_picture = {camera for camera, name in found.values() if name == PICTURE}
    return {
        channel: (camera, name)
        for channel, (camera, name) in found.items()
        if name != OVERLAY or camera not in with_picture
    }
