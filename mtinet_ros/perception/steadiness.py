# SPDX-License-Identifier: Apache-2.0
"""How steadily a model sees a video: flicker of its labels, jitter of its depth, without truth.

A point that is followed from picture to picture keeps its class; its depth changes with the
camera's way, but evenly. What changes otherwise is the model's doing, but for the flow's errors
and, in depth, the camera's own accelerations.

Labels are warped along the flow as by Varghese et al., "Unsupervised temporal consistency metric
for video segmentation" (CVPR workshops 2020), and occlusions left out as by Lai et al., "Learning
blind video temporal consistency" (ECCV 2018). Depth has no such convention: here it is the
difference from the mean of a point's two neighbours in time, half the second difference, for which
a steady motion of camera or thing counts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.optical_flow import Motion

LEAST_FOLLOWED = 0.2
"""Share of a picture that must be found in its neighbour; less, and the video was cut there."""
_IDS = 256


@dataclass(frozen=True)
class LabelChanges:
    """Labels of one picture against those of the picture before it.

    Attributes:
        followed: Share of all pixels whose points were followed.
        changed: Share of the followed pixels whose class is another.
        moved: Share of the followed pixels whose class is nowhere within a pixel of where the
            flow points: what rounding at the edges of things cannot be.
        confusion: int64 [256,256], followed pixels by class before (row) and now (column).
    """

    followed: float
    changed: float
    moved: float
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class DepthChanges:
    """Depth of one picture against that of the pictures before and after it.

    Attributes:
        followed: Share of all pixels that were followed both ways and have depth in all three.
        scale: log of how much larger this picture's depth is, on the whole: the median over its
            points of log z − (log z_before + log z_after) / 2.
        total: Median over the points of the magnitude of that difference.
        local: The same after `scale` was taken off.
    """

    followed: float
    scale: float
    total: float
    local: float


def label_changes(
    before: NDArray[np.uint8], now: NDArray[np.uint8], to_before: Motion
) -> LabelChanges | None:
    """Compare labels along the motion.

    Args:
        before: uint8 [H,W] class ids of the earlier picture.
        now: uint8 [H,W] class ids.
        to_before: From this picture's pixels to the earlier one's.

    Returns:
        None where no pixel is followed that has a class in both.
    """
    rows, columns = to_before.nearest()
    warped = before[rows, columns]
    known = to_before.followed & (warped != VOID_ID) & (now != VOID_ID)
    if not known.any():
        return None
    changed = known & (warped != now)
    nearby = changed.copy()
    padded = cv2.copyMakeBorder(before, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    for down in range(3):
        for right in range(3):
            nearby &= padded[rows + down, columns + right] != now
    pairs = warped[known].astype(np.int64) * _IDS + now[known]
    count = int(known.sum())
    return LabelChanges(
        to_before.share,
        int(changed.sum()) / count,
        int(nearby.sum()) / count,
        np.bincount(pairs, minlength=_IDS * _IDS).reshape(_IDS, _IDS),
    )


def depth_changes(
    before: NDArray[np.float32],
    now: NDArray[np.float32],
    after: NDArray[np.float32],
    to_before: Motion,
    to_after: Motion,
) -> DepthChanges | None:
    """Compare depth with its neighbours' in time, along the motion.

    Args:
        before: float32 [H,W] depth of the picture before, any unit; NaN or not above 0: none.
        now: float32 [H,W] depth.
        after: float32 [H,W] depth of the picture after, in the same unit.
        to_before: From this picture's pixels to those of the picture before.
        to_after: From this picture's pixels to those of the picture after.

    Returns:
        None where no point has depth in all three.
    """
    past, future = to_before.sample(_log(before)), to_after.sample(_log(after))
    difference = _log(now) - (past + future) / 2
    known = to_before.followed & to_after.followed & np.isfinite(difference)
    if not known.any():
        return None
    values = difference[known].astype(np.float64)
    scale = float(np.median(values))
    return DepthChanges(
        float(known.mean()),
        scale,
        float(np.median(np.abs(values))),
        float(np.median(np.abs(values - scale))),
    )


def _log(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.where(depth > 0, depth, np.float32(np.nan)), dtype=np.float32)


def still_labels(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float | None:
    """Share of pixels whose class differs, of two pictures of one still scene.

    Args:
        one: uint8 [H,W] class ids.
        other: uint8 [H,W] class ids.

    Returns:
        None where no pixel has a class in both.

    >>> still_labels(np.array([[1, 2, 3, 255]], np.uint8), np.array([[1, 2, 4, 4]], np.uint8))
    0.3333333333333333
    """
    known = (one != VOID_ID) & (other != VOID_ID)
    return float((one != other)[known].mean()) if known.any() else None


def still_depth(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Median magnitude of log(z / z'), of two pictures of one still scene; None without depth.

    Args:
        one: float32 [H,W] depth, any unit; NaN or not above 0: none.
        other: float32 [H,W] depth in the same unit.
    """
    difference = np.abs(_log(one) - _log(other))
    known = np.isfinite(difference)
    return float(np.median(difference[known])) if known.any() else None


@dataclass
class Steadiness:
    """Changes summed over a video.

    Attributes:
        labels: By pair of pictures, in order.
        depth: By triple of pictures.
        still_labels: Of pictures that differ by noise alone.
        still_depth: Likewise.
        cuts: Pairs of pictures that show too little of the same.
    """

    labels: list[LabelChanges] = field(default_factory=list)
    depth: list[DepthChanges] = field(default_factory=list)
    still_labels: list[float] = field(default_factory=list)
    still_depth: list[float] = field(default_factory=list)
    cuts: int = 0

    def figures(self) -> dict[str, float]:
        """All that was measured; a figure without pictures is left out.

        `flicker`, `flicker_beyond_edges`: means over pairs of `changed` and `moved`;
        `label_consistency`: mean over classes of IoU between labels and warped labels, pooled
        (mTC of Varghese et al.); `depth_jitter`, `depth_local_jitter`: means over triples of
        `total` and `local`; `depth_scale_jitter`: mean magnitude of `scale`; `noise_flicker`,
        `noise_depth_jitter`: means of `still_labels` and `still_depth`; `followed`: mean share of
        the pixels that `flicker`, or else depth, is of.
        """
        found: dict[str, float] = {}
        if self.labels:
            found["flicker"] = _mean([entry.changed for entry in self.labels])
            found["flicker_beyond_edges"] = _mean([entry.moved for entry in self.labels])
            found["label_consistency"] = _mean_iou(
                np.sum([entry.confusion for entry in self.labels], axis=0)
            )
            found["followed"] = _mean([entry.followed for entry in self.labels])
        if self.depth:
            found["depth_jitter"] = _mean([entry.total for entry in self.depth])
            found["depth_scale_jitter"] = _mean([abs(entry.scale) for entry in self.depth])
            found["depth_local_jitter"] = _mean([entry.local for entry in self.depth])
            found.setdefault("followed", _mean([entry.followed for entry in self.depth]))
        if self.still_labels:
            found["noise_flicker"] = _mean(self.still_labels)
        if self.still_depth:
            found["noise_depth_jitter"] = _mean(self.still_depth)
        return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _mean_iou(confusion: NDArray[np.int64]) -> float:
    both = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    seen = either > 0
    return float((both[seen] / either[seen]).mean())
