# SPDX-License-Identifier: Apache-2.0
"""Lens-aware depth: from network depth at its own focal length to metres through this lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_card import ModelCard
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.fit import Fit


def depth_scale(card: ModelCard, fit: Fit, camera: CameraModel | None) -> float | None:
    """Factor from network depth to metres, or None where depth is known up to scale only.

    With X and Y kept, a camera of focal length f looks like one of f0 at depth z·f0/f.

    Args:
        card: The model's card, with f0 at network size.
        fit: How the image lies in the network's input.
        camera: Model of the camera image, or None without a CameraInfo.
    """
    if camera is None or card.focal_length is None or card.depth_kind != "metric":
        return None
    return fit.effective_focal_length(camera) / card.focal_length


def valid_depth(
    depth: NDArray[np.float32], scale: float | None, valid_range: tuple[float, float] | None
) -> NDArray[np.float32]:
    """Scaled depth with NaN (REP 117) wherever it means nothing.

    Args:
        depth: float32 [H,W] as the network gives it.
        scale: Factor to metres, or None to leave the values as they are.
        valid_range: [min, max] of the card, in the unit of the result, or None for no limits.

    Returns:
        A new float32 [H,W]; NaN outside the range and where the network gave no positive number.

    Example:
        >>> valid_depth(np.array([[0.5, 2.0, 40.0]], np.float32), 0.5, (0.3, 10.0)).tolist()
        [[nan, 1.0, nan]]
    """
    result = np.asarray(depth * np.float32(1.0 if scale is None else scale), np.float32)
    low, high = valid_range if valid_range is not None else (0.0, np.inf)
    with np.errstate(invalid="ignore"):
        valid = (result >= low) & (result <= high) & (result > 0.0) & (result < np.inf)
    result[~valid] = np.nan
    return result


def to_millimeters(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Depth in metres as uint16 millimetres (REP 118); 0 where invalid or beyond 65.535 m.

    Example:
        >>> to_millimeters(np.array([[np.nan, 1.2344, 70.0]], np.float32)).tolist()
        [[0, 1234, 0]]
    """
    scaled = np.nan_to_num(depth * np.float32(1000.0)).round()
    scaled[scaled > 65535.0] = 0.0
    return np.asarray(scaled, np.uint16)
