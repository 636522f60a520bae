# SPDX-License-Identifier: Apache-2.0
"""Shows a bag that holds a node's topics, such as `mtinet process` writes."""

from __future__ import annotations

import sys
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_files import BagFiles
from mtinet_ros.recordings.bag_messages import MessageReader, plain
from mtinet_ros.viewer.channels import cameras_in
from mtinet_ros.viewer.messages import LEGEND, show
from mtinet_ros.viewer.scene import Scene

_TOLD = 5  # messages that cannot be shown


def replay(scene: Scene, bag: Path, perception: str) -> int:
    """Show all messages of a bag; the viewer's time line moves through them.

    Args:
        scene: Where everything is shown.
        bag: A rosbag2, or one of its files.
        perception: Name of the node whose topics they are, e.g. `/perception`.

    Returns:
        Number of messages that were shown.

    Raises:
        InputError: It is no bag, or holds no topic of the node.
    """

    def tell(sentence: str) -> None:
        print(f"mtinet view: {sentence}", file=sys.stderr)

    files = BagFiles(bag, tell)
    try:
        channels = cameras_in(files.counts, perception.rstrip("/") + "/")
        if not channels:
            raise InputError(
                f"{bag} has no topic of {perception} that can be shown; --node names another, "
                "`mtinet process` makes a bag that has"
            )
        for camera, _ in channels.values():
            scene.add_camera(camera)
        reader = MessageReader()
        shown, bad = 0, 0
        for stored in files.messages(set(channels)):
            camera, name = channels[stored.channel]
            try:
                show(scene, camera, name, reader.message(plain(stored)))
                shown += name != LEGEND
            except InputError as error:
                bad += 1
                if bad <= _TOLD:
                    tell(str(error))
        if bad > _TOLD:
            tell(f"{bad} messages could not be shown")
        return shown
    finally:
        files.close()
