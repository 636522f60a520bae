# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: many frames at a glance, each as picture, classes, depth and normals."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.classes import colorize
from mtinet_ros.scenes.storage.dataset import Frame

FAR = 8.0
"""Depth that is drawn darkest, metres."""


def frame_strip(frame: Frame, width: int = 160) -> NDArray[np.uint8]:
    """Picture, classes, depth and normals of a frame side by side, uint8 [h, 4 · width, 3]."""
    near = np.clip(1 - frame.depth / FAR, 0, 1) * (frame.depth > 0)
    gray = (near * 255).astype(np.uint8)
    depth = np.asarray(cv2.applyColorMap(gray, cv2.COLORMAP_TURBO))[..., ::-1]
    normals = ((frame.unit_normals() * (1, -1, -1) + 1) * 127.5).astype(np.uint8)
    height = round(width * frame.rgb.shape[0] / frame.rgb.shape[1])
    views = [
        cv2.resize(np.ascontiguousarray(view), (width, height), interpolation=interpolation)
        for view, interpolation in (
            (frame.rgb, cv2.INTER_AREA),
            (colorize(frame.classes), cv2.INTER_NEAREST),
            (depth, cv2.INTER_NEAREST),
            (normals, cv2.INTER_NEAREST),
        )
    ]
    return np.asarray(np.hstack(views), np.uint8)


def contact_sheet(frames: Sequence[Frame], columns: int = 3) -> NDArray[np.uint8]:
    """Strips of frames in columns, uint8 [H, W, 3]; the last row is filled with black."""
    strips = [frame_strip(frame) for frame in frames]
    while len(strips) % columns:
        strips.append(np.zeros_like(strips[0]))
    rows = [np.hstack(strips[start : start + columns]) for start in range(0, len(strips), columns)]
    return np.asarray(np.vstack(rows), np.uint8)
