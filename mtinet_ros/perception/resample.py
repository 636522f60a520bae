# SPDX-License-Identifier: Apache-2.0
"""Bringing a prediction to another size without inventing classes or surfaces between objects."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.prediction import Prediction

# Neighbouring pixels whose depths differ by more than this share lie on two surfaces. A plane seen
# at 80° from its normal changes by about 3 % from pixel to pixel at the network's resolution.
_EDGE_RATIO = 0.05


def resize_prediction(prediction: Prediction, image: NDArray[np.uint8]) -> Prediction:
    """The prediction at the size of `image`.

    Labels and confidence take the nearest pixel. Depth and normals are interpolated on one
    surface, and take the nearest pixel across depth edges and holes, so that no point hangs in
    the air between two.

    Args:
        prediction: At any size.
        image: uint8 [h,w,3] RGB: the picture at the wanted size.

    Returns:
        A prediction of size [h,w] with its camera model rescaled.
    """
    height, width = image.shape[:2]
    size = (width, height)
    old_height, old_width = prediction.size
    if (height, width) == prediction.size:
        return replace(prediction, image=image)
    depth, normals = prediction.depth, prediction.normals
    on_one_surface = None
    if depth is not None:
        on_one_surface = (
            cv2.resize(_smooth_cells(depth), size, interpolation=cv2.INTER_LINEAR) > 0.999
        )
    camera = prediction.camera
    return replace(
        prediction,
        image=image,
        labels=_nearest(prediction.labels, size),
        confidence=_nearest(prediction.confidence, size),
        depth=_interpolated(depth, size, on_one_surface),
        normals=_unit(_interpolated(normals, size, on_one_surface)),
        camera=camera
        and camera.resampled((width / old_width, height / old_height), (0.0, 0.0), size),
    )


def _smooth_cells(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """1.0 where a pixel and its 8 neighbours lie on one surface and are valid, else 0.0."""
    filled = np.where(np.isfinite(depth), depth, np.float32(0.0))
    kernel = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(filled, kernel), cv2.dilate(filled, kernel)
    return np.asarray((low > 0.0) & (high <= low * (1.0 + _EDGE_RATIO)), dtype=np.float32)


def _nearest(array: NDArray[np.uint8] | None, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if array is None:
        return None
    # INTER_NEAREST_EXACT samples at pixel centres; plain INTER_NEAREST is off by up to a pixel.
    return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _interpolated(
    array: NDArray[np.float32] | None, size: tuple[int, int], where: NDArray[np.bool_] | None
) -> NDArray[np.float32] | None:
    if array is None:
        return None
    rows, columns = (
        _nearest_index(new, old) for new, old in zip(size[::-1], array.shape[:2], strict=True)
    )
    result = array[rows[:, np.newaxis], columns]
    linear = cv2.resize(array, size, interpolation=cv2.INTER_LINEAR)
    if where is None:
        return np.asarray(linear, np.float32)
    result[where] = linear[where]
    return result


def _nearest_index(new: int, old: int) -> NDArray[np.intp]:
    return np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)


def _unit(normals: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    if normals is None:
        return None
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)
