# SPDX-License-Identifier: Apache-2.0
"""One frame with its ground truth, as every data set gives it and every later step takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError

Target = NDArray[np.uint8] | NDArray[np.float32]

VOID = 255
"""Label of pixels without ground truth."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera; pixel centres are at integer coordinates.

    Attributes:
        focal_length: Pixels, the same in x and y.
        cx: Column of the principal point.
        cy: Row of the principal point.
    """

    focal_length: float
    cx: float
    cy: float

    @staticmethod
    def centered(focal_length: float, height: int, width: int) -> Intrinsics:
        """A lens whose principal point is the middle of the image."""
        return Intrinsics(focal_length, (width - 1) / 2, (height - 1) / 2)

    def resized(self, scale: float) -> Intrinsics:
        """The same lens on an image resized by `scale` (pixel edges, not centres, correspond)."""
        return Intrinsics(
            self.focal_length * scale,
            (self.cx + 0.5) * scale - 0.5,
            (self.cy + 0.5) * scale - 0.5,
        )

    def matrix(self) -> NDArray[np.float64]:
        """K, 3×3."""
        return np.array(
            [[self.focal_length, 0, self.cx], [0, self.focal_length, self.cy], [0, 0, 1.0]]
        )


@dataclass(frozen=True)
class Sample:
    """One frame.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        targets: Ground truth by task, each [H, W] or [H, W, 3]: semseg and human_parts uint8
            class ids with `VOID`; depth float32 metres along the optical axis, 0 where unknown;
            normals float32 unit vectors in the camera optical frame, zero where unknown; edge and
            sal uint8 0 or 1, `VOID` where unknown.
        intrinsics: Of this image; None where the data set does not say.
        pose: 4×4 from the camera optical frame to the world, metres; None where not known.
    """

    image: NDArray[np.uint8]
    targets: dict[str, Target]
    intrinsics: Intrinsics | None
    world_from_camera: NDArray[np.float64] | None = None


class SampleSource(Protocol):
    """A data set: a length, and a sample for every index below it.

    Attributes:
        class_names: Of the semseg classes, by id.
        palette: Their RGB colours.
        attribution: Whom to credit for the data.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]: ...  # noqa: D102
    @property
    def attribution(self) -> tuple[str, ...]: ...  # noqa: D102

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Sample `index`."""
        ...

    def videos(self) -> list[list[int]]:
        """Indices of consecutive frames of one moving camera each; empty for a set of stills."""
        ...


class RoomSamples:
    """Rendered rooms (`mtinet scenes`), one split; memory-mapped."""

    def __init__(self, root: str, split: str) -> None:
        """Open what is on disk now.

        Raises:
            DataError: The folder holds no such rooms.
        """
        from mtinet_ros.scenes.classes import NAMES, PALETTE
        from mtinet_ros.scenes.storage.dataset import SceneDataset

        self.rooms = SceneDataset(root, split)
        self.class_names = NAMES
        self.palette = PALETTE
        self.attribution = _credits(Path(root) / "CREDITS.md")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.rooms)

    def __getitem__(self, index: int, /) -> Sample:
        """Frame `index` with semseg, depth and normals."""
        frame = self.rooms[index]
        fx, _, cx, cy = (float(value) for value in frame.intrinsics)
        targets: dict[str, Target] = {
            "semseg": frame.classes,
            "depth": frame.depth,
            "normals": frame.unit_normals(),
        }
        return Sample(frame.rgb, targets, Intrinsics(fx, cx, cy), frame.world_from_camera)

    def videos(self) -> list[list[int]]:
        """Camera paths."""
        return self.rooms.videos()


def _credits(table: Path) -> tuple[str, ...]:
    """One sentence per licence that asks for credit, from rows `| model | creator | license |`."""
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


def open_samples(kind: str, root: str, split: str) -> SampleSource:
    """Open one split ("train", "val" or "test") of a data set.

    Raises:
        ConfigurationError: No such kind of data set.
        DataError: The data are missing or damaged.
    """
    if kind == "rooms":
        return RoomSamples(root, split)
    raise ConfigurationError(f"data: kind is {kind!r}; it must be rooms.")


def every(source: SampleSource, limit: int) -> list[int]:
    """Indices of at most `limit` evenly spaced samples."""
    count = min(limit, len(source))
    return [int(i) for i in np.linspace(0, len(source) - 1, count)] if count else []
