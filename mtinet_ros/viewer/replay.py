# SPDX-License-Identifier: Apache-2.0
"""Shows a bag that holds a node's topics, such as `mtinet process` writes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_files import BagFiles
from mtinet_ros.recordings.bag_messages import MessageReader, plain
from mtinet_ros.viewer.channels import cameras_in
from mtinet_ros.viewer.messages import LEGEND, show

if TYPE_CHECKING:
    from mtinet_ros.viewer.scene import Scene

_TOLD = 5  # messages that cannot be shown


class Replay:
    """A bag that can be shown; the viewer's time line moves through its messages."""

    def __init__(self, bag: Path, perception: str) -> None:
        """Open it.

        Args:
            bag: A rosbag2, or one of its files.
            perception: Name of the node whose topics they are, e.g. `/perception`.

        Raises:
            InputError: It is no bag, or holds no topic of the node.
            ConfigurationError: rosbags is not installed.
        """
        self._reader = MessageReader()
        self._files = BagFiles(bag, _tell)
        self._channels = cameras_in(self._files.counts, perception.rstrip("/") + "/")
        if not self._channels:
            self.close()
            raise InputError(
                f"{bag} has no topic of {perception} that can be shown; --node names another, "
                "`mtinet process` makes a bag that has"
            )

    def show(self, scene: Scene) -> int:
        """Show all messages; returns how many could be shown."""
        for camera, _ in self._channels.values():
            scene.add_camera(camera)
        shown, bad = 0, 0
        for stored in self._files.messages(set(self._channels)):
            camera, name = self._channels[stored.channel]
            try:
                show(scene, camera, name, self._reader.message(plain(stored)))
                shown += name != LEGEND
            except InputError as error:
                bad += 1
                if bad <= _TOLD:
                    _tell(str(error))
        if bad > _TOLD:
            _tell(f"{bad} messages could not be shown")
        return shown

    def close(self) -> None:
        """Close its files."""
        self._files.close()


def _tell(sentence: str) -> None:
    print(f"mtinet view: {sentence}", file=sys.stderr)
