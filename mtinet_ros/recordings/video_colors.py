# SPDX-License-Identifier: Apache-2.0
"""A decoded video frame to RGB: matrix, range, depth in bits, and what is beyond white in HDR."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# ITU-T H.273, matrix coefficients: what a frame says of itself, and how swscale numbers them.
_BT709, _UNSPECIFIED, _FCC, _BT601_625, _BT601, _SMPTE240, _BT2020, _BT2020_CL = (
    *(1, 2, 4, 5, 6, 7, 9, 10),
)
_SWSCALE = {
    _BT709: 1,
    _FCC: 4,
    _BT601_625: 5,
    _BT601: 5,
    _SMPTE240: 7,
    _BT2020: 9,
    _BT2020_CL: 9,
}
_LIMITED, _FULL = 1, 2  # AVColorRange

# SWS_BILINEAR, ACCURATE_RND, FULL_CHR_H_INT. With 8 bits swscale is right to one level without,
# and ten times as fast; with 10 it would be three levels off.
_EXACT = 2 | 0x40000 | 0x2000

# ITU-T H.273, transfer characteristics and color primaries.
_PQ, _HLG = 16, 18
HDR_NAMES = {_PQ: "PQ", _HLG: "HLG"}
_PRIMARIES_BT2020 = 9

# RGB of BT.2020 to RGB of BT.709, linear light (ITU-R BT.2087).
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
_KNEE = 0.8  # of white: what is brighter is squeezed into the rest
_STEPS = 4096


def rgb_pixels(frame: Any) -> NDArray[np.uint8]:
    """A frame of PyAV as uint8 [h,w,3] RGB, at its size and as it was stored, not turned.

    The matrix and the range are those that the frame names. Where it names none: BT.709 from 1280
    columns or 577 rows on, BT.601 below, as players have it, and the limited range. Alpha is left
    out. HDR (PQ, HLG) becomes an ordinary picture: diffuse white (203 cd/m², ITU-R BT.2408) is
    white, and what is brighter is squeezed in below it. From any thread, for different frames.
    """
    is_hdr = frame.color_trc in HDR_NAMES
    matrix = _SWSCALE.get(frame.colorspace)
    if matrix is None:
        is_large = frame.width >= 1280 or frame.height > 576
        matrix = _SWSCALE[_BT709 if is_large else _BT601]
    is_deep = frame.format.components[0].bits > 8
    pixels = frame.reformat(
        format="rgb48le" if is_hdr else "rgb24",
        interpolation=_EXACT if is_deep else None,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=_FULL if _is_full_range(frame) else _LIMITED,
        dst_color_range=_FULL,
    ).to_ndarray()
    if is_hdr:
        return _without_hdr(pixels, frame.color_trc, frame.color_primaries)
    return np.asarray(pixels, np.uint8)


def _is_full_range(frame: Any) -> bool:
    if frame.color_range in (_LIMITED, _FULL):
        return bool(frame.color_range == _FULL)
    # JPEG's own formats say it in their name; RGB and gray are full where nothing is said.
    name = frame.format.name
    return name.startswith("yuvj") or not name.startswith(("yuv", "nv", "p0", "p2", "y2", "uyvy"))


def _without_hdr(pixels: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    linear = np.take(_light(transfer), pixels >> 4)
    if primaries == _PRIMARIES_BT2020:
        linear = np.asarray(cv2.transform(linear, _TO_BT709), np.float32)
    root = np.sqrt(linear.clip(0.0, 16.0)) * np.float32(_STEPS / 4 - 1)
    return np.asarray(np.take(_shown(), root.astype(np.int16)), np.uint8)


@functools.cache
def _light(transfer: int) -> NDArray[np.float32]:
    """Linear light by the 12 upper bits of a sample; 1 is diffuse white."""
    signal = (np.arange(_STEPS) + 0.5) / _STEPS
    if transfer == _HLG:
        # Inverse OETF of ITU-R BT.2100; diffuse white is at 75 % of the signal.
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0)
        light = scene / ((np.exp((0.75 - c) / a) + b) / 12.0)
    else:
        # EOTF of SMPTE ST 2084, cd/m².
        root = signal ** (1.0 / 78.84375)
        light = np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)
        light = 10000.0 * light ** (1.0 / 0.1593017578125) / 203.0
    return np.asarray(light, np.float32)


@functools.cache
def _shown() -> NDArray[np.uint8]:
    """sRGB by the root of linear light, 0 to 16, in `_STEPS` - 3 steps."""
    light = (np.arange(_STEPS) / (_STEPS / 4 - 1)) ** 2
    beyond = (light - _KNEE).clip(0.0) / (1.0 - _KNEE)
    light = np.minimum(light, _KNEE) + (1.0 - _KNEE) * (1.0 - np.exp(-beyond))
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray((srgb * 255.0).round(), np.uint8)
