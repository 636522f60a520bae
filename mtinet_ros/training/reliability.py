# SPDX-License-Identifier: Apache-2.0
"""Whether a confidence says how often the label is right: reliability and calibration error.

Defined as by Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML
2017, section 2: predictions are binned by their confidence into M intervals of equal width, open
to the left; the expected calibration error is the mean over all predictions of how far, in its
bin, the share of right ones is from the mean confidence (Naeini, Cooper and Hauskrecht, AAAI
2015). A prediction is a pixel with truth.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID

BINS = 15
"""M, as Guo et al. have it."""
_ID = TypeVar("_ID", bound=np.integer)


def reliability_sums(
    confidence: NDArray[np.uint8], predicted: NDArray[_ID], truth: NDArray[_ID]
) -> NDArray[np.float64]:
    """Sums over the pixels of each bin.

    Args:
        confidence: uint8, any shape, 255 = certain.
        predicted: Class ids, same shape.
        truth: Class ids, same shape, `VOID_ID` where unknown.

    Returns:
        float64 [BINS, 3]: pixels, their confidences (0..1) added up, those that are right.

    >>> ids = np.array([1, 1, 2, 255])
    >>> reliability_sums(np.array([255, 238, 17, 90], np.uint8), np.array([1, 2, 2, 2]), ids)[
    ...     [0, 13, 14]
    ... ].round(3).tolist()
    [[1.0, 0.067, 1.0], [1.0, 0.933, 0.0], [1.0, 1.0, 1.0]]
    """
    known = truth != VOID_ID
    values = confidence[known].astype(np.int64)
    # 255 is a multiple of 15, so that the bins' edges are whole numbers; 0 is in the first bin.
    width = 255 // BINS
    bins = np.maximum(-(-values // width) - 1, 0)
    right = (predicted[known] == truth[known]).astype(np.float64)
    weights = (None, values / 255.0, right)
    return np.stack([np.bincount(bins, w, BINS) for w in weights], axis=1).astype(np.float64)


def expected_calibration_error(sums: NDArray[np.float64]) -> float:
    """From `reliability_sums`, 0..1; NaN without a pixel.

    >>> sums = np.zeros((BINS, 3))
    >>> sums[9] = 3, 1.92, 3  # three pixels, 0.64 sure and right
    >>> sums[14] = 1, 0.96, 0  # one, 0.96 sure and wrong
    >>> round(expected_calibration_error(sums), 6)  # (3 · 0.36 + 1 · 0.96) / 4
    0.51
    """
    pixels, confidence, right = sums.T
    return float(np.abs(right - confidence).sum() / pixels.sum()) if pixels.any() else float("nan")


def reliability_by_bin(sums: NDArray[np.float64]) -> list[dict[str, float]]:
    """For each bin "from" and "to" (confidence), "share" of the pixels, and, where it has any,
    "confidence" (their mean) and "accuracy" (how many of them are right)."""
    total = max(float(sums[:, 0].sum()), 1.0)
    entries = []
    for number, (pixels, confidence, right) in enumerate(sums.tolist()):
        entry = {"from": number / BINS, "to": (number + 1) / BINS, "share": pixels / total}
        if pixels:
            entry |= {"confidence": confidence / pixels, "accuracy": right / pixels}
        entries.append(entry)
    return entries
