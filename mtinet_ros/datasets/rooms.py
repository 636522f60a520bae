# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms (`mtinet scenes`) as samples."""

from __future__ import annotations

from pathlib import Path

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.scenes.classes import NAMES, PALETTE
from mtinet_ros.scenes.storage.dataset import SceneDataset


class RoomSamples:
    """One split of a folder of rendered rooms: semseg, depth and normals, memory-mapped."""

    def __init__(self, root: str, split: str) -> None:
        """Open the scenes that are on disk now.

        Args:
            root: Folder written by `mtinet scenes`.
            split: "train", "val" or "test".

        Raises:
            DataError: The folder holds no such rooms.
        """
        self.rooms = SceneDataset(root, split)
        self.class_names = NAMES
        self.palette = PALETTE
        self.attribution = _credits(Path(root) / "CREDITS.md")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.rooms)

    def __getitem__(self, index: int, /) -> Sample:
        """The frame at `index`."""
        frame = self.rooms[index]
        fx, _, cx, cy = (float(value) for value in frame.intrinsics)
        targets: dict[str, Target] = {
            "semseg": frame.classes,
            "depth": frame.depth,
            "normals": frame.unit_normals(),
        }
        return Sample(frame.rgb, targets, Intrinsics(fx, cx, cy), frame.world_from_camera)

    def videos(self) -> list[list[int]]:
        """Indices of the frames of each camera path, in order of time."""
        return self.rooms.videos()


def _credits(table: Path) -> tuple[str, ...]:
    """A sentence per license that asks for credit, from rows `| model | creator | license |`."""
    creators: dict[str, set[str]] = {}
    if table.exists():
        for row in table.read_text().splitlines()[1:]:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            if len(cells) == 3 and cells[2].startswith("CC-"):
                creators.setdefault(cells[2], set()).add(cells[1])
    return tuple(
        f"Furniture in rendered rooms: Sweet Home 3D libraries, by {', '.join(sorted(names))} "
        f"({license})"
        for license, names in sorted(creators.items())
    )
