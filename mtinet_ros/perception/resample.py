# SPDX-License-Identifier: Apache-2.0
"""Bringing a prediction to another size without inventing classes or surfaces between objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.prediction import Prediction

# Neighbouring pixels whose depths differ by more than this share lie on two surfaces. A plane seen
# at 80° from its normal changes by about 3 % from pixel to pixel at the network's resolution.
_EDGE_RATIO = 0.05

# Neighbouring normals that differ by more than this in a component (about 6°) are not mixed.
_NORMAL_SPREAD = 0.1


def resize_prediction(prediction: Prediction, image: NDArray[np.uint8]) -> Prediction:
    """The prediction at the size of `image`.

    Labels and confidence take the nearest pixel. Depth and normals are interpolated on one
    surface, and take the nearest pixel at edges and holes, so that no point hangs in the air
    between two and no hole grows or shrinks.

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
    depth, normals, camera = prediction.depth, prediction.normals, prediction.camera
    return replace(
        prediction,
        image=image,
        labels=_nearest(prediction.labels, size),
        confidence=_nearest(prediction.confidence, size),
        depth=None if depth is None else _interpolated(depth, size, _depth_is_smooth(depth)),
        normals=None
        if normals is None
        else _unit(_interpolated(normals, size, _normals_are_smooth(normals))),
        camera=camera
        and camera.resampled((width / old_width, height / old_height), (0.0, 0.0), size),
    )


def _depth_is_smooth(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """True where a pixel and its 8 neighbours are valid and lie on one surface."""
    low, high = _extremes(depth, invalid=0.0)
    return (low > 0.0) & (high <= low * (1.0 + _EDGE_RATIO))


def _normals_are_smooth(normals: NDArray[np.float32]) -> NDArray[np.bool_]:
    """True where a pixel and its 8 neighbours are valid and face about the same way.

    Depth is not asked: what normals are published must not depend on who listens to depth.
    """
    low, high = _extremes(normals, invalid=np.inf)
    return np.asarray((high - low <= _NORMAL_SPREAD).all(axis=-1))


def _extremes(
    array: NDArray[np.float32], invalid: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smallest and largest value of each pixel and its 8 neighbours."""
    kernel = np.ones((3, 3), np.uint8)
    filled = np.where(np.isfinite(array), array, np.float32(invalid))
    return np.asarray(cv2.erode(filled, kernel)), np.asarray(cv2.dilate(filled, kernel))


def _nearest(array: NDArray[np.uint8] | None, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    return None if array is None else np.asarray(_sample(array, size), np.uint8)


def _sample(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Nearest-neighbor resampling to (width, height)."""
    # INTER_NEAREST_EXACT samples at pixel centres; plain INTER_NEAREST is off by up to a pixel.
    return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_NEAREST_EXACT))


def _interpolated(
    array: NDArray[np.float32], size: tuple[int, int], is_smooth: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Linear where the nearest old pixel is on one surface with all around it, else that pixel.

    The four pixels that linear interpolation mixes are the nearest one and neighbours of it.
    """
    linear = np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_LINEAR), np.float32)
    jumps = _sample((~is_smooth).view(np.uint8), size).view(np.bool_)
    linear[jumps] = _sample(array, size)[jumps]
    return linear


def _unit(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)
