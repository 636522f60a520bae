# SPDX-License-Identifier: Apache-2.0
"""`Sample`, an image with its ground truth, and `SampleSource`, a data set of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.model_contract import VOID_ID

Target = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One frame of a data set.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        targets: Ground truth by task, each [H, W] or [H, W, 3]: semseg and human_parts uint8
            class ids with `VOID_ID`; depth float32 metres along the optical axis, 0 where unknown;
            normals float32 unit vectors in the camera optical frame, zero where unknown; edge and
            sal uint8 0 or 1, `VOID_ID` where unknown.
        intrinsics: Of this image; None where the data set does not say.
        world_from_camera: 4×4, camera optical frame to world, metres; None where not known.
    """

    image: NDArray[np.uint8]
    targets: dict[str, Target]
    intrinsics: Intrinsics | None
    world_from_camera: NDArray[np.float64] | None = None


class SampleSource(Protocol):
    """A data set: a length, and a sample for every index below it.

    Attributes:
        class_names: Names of the semseg classes, by id.
        palette: RGB colors of the semseg classes, by id.
        attribution: Credits that the licenses of the data ask for, a sentence each.
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
        """Sample at `index`, 0 to length - 1. Raises `DataError` if its files are damaged."""
        ...

    def videos(self) -> list[list[int]]:
        """Indices of consecutive frames of one moving camera each; empty for a set of stills."""
        ...


def unknown_target(task: str, height: int, width: int) -> Target:
    """Ground truth of a task that tells nothing, as `Sample.targets` has it."""
    if task == "depth":
        return np.zeros((height, width), np.float32)
    if task == "normals":
        return np.zeros((height, width, 3), np.float32)
    return np.full((height, width), VOID_ID, np.uint8)


def evenly_spaced(source: SampleSource, limit: int) -> list[int]:
    """Indices of at most `limit` samples, evenly spaced from the first to the last."""
    count = min(limit, len(source))
    return [int(i) for i in np.linspace(0, len(source) - 1, count)] if count else []
