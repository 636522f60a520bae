# SPDX-License-Identifier: Apache-2.0
"""Training frames as the paper's results were made: `augmentation.kind` "nyud" and "pascal".

What the authors' public loader does to a frame, measured from outside on data of known content:
mirror, turn and zoom at the frame's own size, stretch to the network's size, then decide what is
unknown. A view of `mtinet_ros.training.view` is a camera's; these are a picture's. Depth stays in
the metres of the data's own lens, so the samples that come out name no lens.

One thing differs on purpose. Cubic interpolation overshoots, and the authors' images wrap around
where it does: 260 becomes 4. Here such values are clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.training.config import AugmentationConfig

_EPSILON = np.finfo(np.float32).eps
"""Added to the length of an interpolated normal before it is divided by it."""
_TOUCHED = 1e-9
"""Weight of what lies outside the picture from which on a pixel is made of that too."""


@dataclass(frozen=True)
class PaperView:
    """How a picture is moved.

    Attributes:
        mirrored: Left to right, before all else.
        rotation: Degrees about (w/2, h/2), counterclockwise as one looks at the picture.
        scale: Factor about the same point; depth is divided by it.
    """

    mirrored: bool
    rotation: float
    scale: float


def random_paper_view(config: AugmentationConfig, random: np.random.Generator) -> PaperView:
    """A view drawn from a configuration of the kind "nyud" or "pascal"."""
    mirrored = bool(random.random() < config.flip)
    if config.kind == "nyud":
        return PaperView(mirrored, 0.0, float(random.choice(config.zooms)))
    rotation = random.uniform(-config.rotation, config.rotation)
    return PaperView(mirrored, float(rotation), float(random.uniform(*config.scale)))


def warp_as_authors(
    sample: Sample, view: PaperView, height: int, width: int, *, background: bool = False
) -> Sample:
    """A training frame as the authors' loader makes it.

    Args:
        sample: The frame at its own size.
        view: How to move it.
        height: Rows of the new image.
        width: Columns of the new image.
        background: Class 0 of semseg is a background: what lies outside the turned picture is
            trained as that, as the authors have it. False: it is unknown.

    Returns:
        The frame at the new size, without intrinsics. Outside the turned picture the image is
        black, human_parts, sal and edge are 0, depth and normals unknown.
    """
    rows, columns = sample.image.shape[:2]
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), view.rotation, view.scale)

    def moved(array: NDArray[Any], interpolation: int, outside: int = 0) -> NDArray[Any]:
        return np.asarray(
            cv2.warpAffine(
                np.ascontiguousarray(array[:, ::-1] if view.mirrored else array),
                matrix, (columns, rows), flags=interpolation, borderMode=cv2.BORDER_CONSTANT,
                borderValue=(outside,) * 4,
            )
        )  # fmt: skip

    image = moved(sample.image.astype(np.float32), cv2.INTER_CUBIC)
    targets: dict[str, NDArray[Any]] = {}
    for task, target in sample.targets.items():
        if task == "normals":
            normals = moved(_known_normals(target), cv2.INTER_CUBIC)
            # Known only where the cubic kernel has touched nothing outside the picture.
            inside = np.zeros((rows, columns), np.float32)
            normals[np.abs(moved(inside, cv2.INTER_CUBIC, outside=1)) > _TOUCHED] = 0
            targets[task] = _turned(normals, view)
        else:
            void = task == "semseg" and not background
            targets[task] = moved(target, cv2.INTER_NEAREST, VOID_ID if void else 0)
    if "depth" in targets:
        targets["depth"] = targets["depth"] / np.float32(view.scale)
    return _at_size(image, targets, height, width)


def resize_as_authors(sample: Sample, height: int, width: int) -> Sample:
    """A validation frame as the authors' loader makes it: stretched, without intrinsics."""
    targets: dict[str, NDArray[Any]] = dict(sample.targets)
    if "normals" in targets:
        targets["normals"] = _known_normals(targets["normals"])
    return _at_size(sample.image.astype(np.float32), targets, height, width)


def _known_normals(normals: NDArray[Any]) -> NDArray[np.float32]:
    """Normals whose unknown vectors are zero: interpolation would spread what is not finite."""
    known = np.isfinite(normals).all(-1, keepdims=True)
    return np.where(known, normals, 0).astype(np.float32)


def _turned(normals: NDArray[np.float32], view: PaperView) -> NDArray[np.float32]:
    """Normals in the optical frame of the camera that sees the mirrored, turned picture."""
    angle = np.radians(view.rotation)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y, z = np.moveaxis(normals, -1, 0)
    if view.mirrored:
        x = -x
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=-1)


def _at_size(
    image: NDArray[np.float32], targets: dict[str, NDArray[Any]], height: int, width: int
) -> Sample:
    """A sample stretched to a size, with what is unknown marked as in `Sample`."""
    size = (width, height)
    resized: dict[str, Target] = {}
    for task, target in targets.items():
        if task == "normals":
            normals = np.asarray(cv2.resize(target, size, interpolation=cv2.INTER_CUBIC))
            length = np.linalg.norm(normals, axis=-1, keepdims=True)
            resized[task] = np.asarray(normals / (length + _EPSILON), np.float32)
            continue
        values = np.asarray(cv2.resize(target, size, interpolation=cv2.INTER_NEAREST))
        if task == "human_parts" and ((values == 0) | (values == VOID_ID)).all():
            values = np.full_like(values, VOID_ID)  # nobody there: nothing to learn from it
        resized[task] = cast(Target, values)
    stretched = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return Sample(np.clip(stretched, 0, 255).astype(np.uint8), resized, None)
