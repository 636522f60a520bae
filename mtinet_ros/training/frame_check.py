# SPDX-License-Identifier: Apache-2.0
"""What a frame must keep for the losses to mean something, whoever reads it from disk."""

from __future__ import annotations

import math

from mtinet_ros.datasets.class_sets import HUMAN_PARTS
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID


def check_frame(sample: Sample, classes: int, name: str) -> None:
    """Refuse truth of another size, labels that no class has, and a lens that no camera has.

    Args:
        sample: As read.
        classes: Number of semseg classes.
        name: Of the frame, for the sentence.

    Raises:
        DataError: The frame is such a one.
    """
    rows, columns = sample.image.shape[:2]
    for task, target in sample.targets.items():
        if target.shape[:2] != (rows, columns):
            size = "x".join(str(n) for n in target.shape[:2])
            raise DataError(
                f"{name} has {task} of {size} pixels, its picture {rows}x{columns} (rows x "
                "columns); both must be of the same size"
            )
    counts = {"semseg": classes, "human_parts": len(HUMAN_PARTS), "edge": 2, "sal": 2}
    for task, count in counts.items():
        labels = sample.targets.get(task)
        if labels is None:
            continue
        odd = (labels != VOID_ID) & ((labels < 0) | (labels >= count))
        if odd.any():
            raise DataError(
                f"{name} has the {task} label {labels[odd].flat[0]}; allowed is 0 to {count - 1}, "
                f"and {VOID_ID} where it is not known"
            )
    lens = sample.intrinsics
    if lens is not None and not 0 < lens.focal_length < math.inf:
        raise DataError(
            f"{name} has the focal length {lens.focal_length}; it is a number of pixels above 0"
        )
