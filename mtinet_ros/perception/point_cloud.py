# SPDX-License-Identifier: Apache-2.0
"""An organised, coloured and labelled point cloud, made without a loop over pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.prediction import Prediction

# Field names and order as PCL's PointXYZRGBL and PointNormal have them. `rgb` is a float32 whose
# bytes are 0x00RRGGBB, the form that rviz and PCL read.
_FIELDS = [
    ("x", np.float32),
    ("y", np.float32),
    ("z", np.float32),
    ("rgb", np.float32),
    ("label", np.uint32),
    ("normal_x", np.float32),
    ("normal_y", np.float32),
    ("normal_z", np.float32),
]
POINT_DTYPE = np.dtype(_FIELDS)
# A probability, 0..1, behind the fields that are always there: as float32 it can be a channel of
# PCL, rviz and elevation maps, which take no bytes, and every field stays at a multiple of four.
CONFIDENT_POINT_DTYPE = np.dtype([*_FIELDS, ("confidence", np.float32)])


def point_cloud(
    prediction: Prediction, stride: int = 1, *, with_confidence: bool = False
) -> NDArray[np.void]:
    """The prediction's points in the camera optical frame.

    Args:
        prediction: With depth and a camera model.
        stride: Take every n-th pixel in both directions.
        with_confidence: Whether points have the field `confidence`.

    Returns:
        `POINT_DTYPE`, or `CONFIDENT_POINT_DTYPE`, [ceil(H/stride), ceil(W/stride)];
        x = (u − cx)·z/fx as in depth_image_proc; x y z are NaN where depth is invalid. Without
        labels `label` is 255, without normals or confidence they are NaN.

    Raises:
        ValueError: The prediction has no depth or no camera model.
    """
    if prediction.depth is None or prediction.camera is None:
        raise ValueError("a point cloud needs depth and a camera model")
    take = (slice(None, None, stride), slice(None, None, stride))
    depth = prediction.depth[take]
    points = np.empty(depth.shape, CONFIDENT_POINT_DTYPE if with_confidence else POINT_DTYPE)
    camera = prediction.camera
    x, y = camera.ray_slopes()
    points["x"] = x[::stride] * depth
    points["y"] = y[::stride, np.newaxis] * depth
    points["z"] = depth
    red, green, blue = np.moveaxis(prediction.image[take].astype(np.uint32), -1, 0)
    points["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)
    points["label"] = VOID_ID if prediction.labels is None else prediction.labels[take]
    for axis, name in enumerate(("normal_x", "normal_y", "normal_z")):
        points[name] = (
            np.nan if prediction.normals is None else prediction.normals[take][..., axis]
        )
    if with_confidence:
        confidence = prediction.confidence
        points["confidence"] = (
            np.nan if confidence is None else confidence[take] / np.float32(255.0)
        )
    return points


def points_of(points: NDArray[np.void], is_wanted: NDArray[np.bool_]) -> NDArray[np.void]:
    """The valid points of some classes, one after the other.

    Args:
        points: [H,W] from `point_cloud`.
        is_wanted: bool [256], by label; 255 is void.

    Returns:
        The same [N], row by row, without NaN in x, y and z.
    """
    wanted: NDArray[np.void] = points[np.isfinite(points["z"]) & is_wanted[points["label"]]]
    return wanted


def class_field(class_name: str) -> str:
    """The field of `points_with_classes` for a class: its name in letters, digits and `_`."""
    return re.sub(r"\W", "_", class_name, flags=re.ASCII)


def points_with_classes(
    points: NDArray[np.void], class_names: Sequence[str], chosen: Sequence[str]
) -> NDArray[np.void]:
    """The valid points, one after the other, with a field for each of some classes.

    Maps that fuse what a cloud says average its float fields cell by cell: of an id they would
    make a class in between, of these fields they make each class's share of the cell.

    Args:
        points: [H,W] from `point_cloud`.
        class_names: Of all classes, by id.
        chosen: Those that get a field, in its order.

    Returns:
        [N], row by row, without NaN in x, y and z, all fields float32: x y z, and one
        `class_field` for each chosen class. A point has its confidence (1 without one) in the
        field of its own class, and 0 in the others.
    """
    valid = points[np.isfinite(points["z"])]
    names = [class_field(name) for name in chosen]
    classes = np.zeros(valid.shape, [(name, np.float32) for name in ("x", "y", "z", *names)])
    for axis in ("x", "y", "z"):
        classes[axis] = valid[axis]
    certain = "confidence" in (valid.dtype.names or ())
    weight = valid["confidence"] if certain else np.ones(valid.shape, np.float32)
    for name, field in zip(chosen, names, strict=True):
        is_of_class = valid["label"] == class_names.index(name)
        classes[field] = np.where(is_of_class, weight, 0.0)
    return classes
