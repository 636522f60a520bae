# SPDX-License-Identifier: Apache-2.0
"""What a network says of pixels whose class is known, to calibrate its confidence by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.sample import SampleSource
from mtinet_ros.errors import DataError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.fit import Fit

MOST_PIXELS = 2_000_000
"""So many pixels say more about one number than there is to know, and fit into memory."""

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [1,H,W,3] at the network's size in, logits float32 [1,C,H,W] out."""


def held_out_logits(
    network: Network,
    card: ModelCard,
    source: SampleSource,
    indices: Sequence[int],
    progress: Callable[[], object] = lambda: None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Logits of the pixels with truth, at the data's own size as `mtinet evaluate` measures there.

    Args:
        network: Gives logits.
        card: Of the model: how images are fitted.
        source: The data.
        indices: Its samples to look at.
        progress: Called after each.

    Returns:
        Logits float32 [N,C] and classes uint8 [N] of at most about `MOST_PIXELS` pixels, from a
        regular grid over every frame.

    Raises:
        DataError: No pixel has truth.
    """
    logits, labels = [], []
    pixels = np.empty((1, *card.input_size, 3), np.uint8)
    for index in indices:
        sample = source[index]
        truth = np.asarray(sample.targets["semseg"])
        rows, columns = sample.image.shape[:2]
        step = math.ceil(math.sqrt(rows * columns * len(indices) / MOST_PIXELS))
        fit = Fit.plan((rows, columns), card.input_size, card.fit)
        fit.apply(sample.image, pixels[0], card.pad_color)
        there = fit.crop(network(pixels)[0].transpose(1, 2, 0))
        chosen = truth[step // 2 :: step, step // 2 :: step]
        nearest = _nearest(there.shape[:2], (rows, columns))[step // 2 :: step, step // 2 :: step]
        known = chosen != VOID_ID
        logits.append(there.reshape(-1, there.shape[-1])[nearest[known]])
        labels.append(chosen[known].astype(np.uint8))
        progress()
    if not sum(map(len, labels)):
        raise DataError("no pixel of the frames has a known class; name other data")
    return np.concatenate(logits).astype(np.float32), np.concatenate(labels)


def _nearest(size: tuple[int, int], wanted: tuple[int, int]) -> NDArray[np.int64]:
    """For each pixel of a [rows, columns] image, the number of the pixel that labels come from."""
    rows, columns = (
        cv2.resize(
            np.arange(there, dtype=np.float32)[:, np.newaxis],
            (1, here),
            interpolation=cv2.INTER_NEAREST_EXACT,
        )
        .ravel()
        .astype(np.int64)
        for there, here in zip(size, wanted, strict=True)
    )
    numbers: NDArray[np.int64] = rows[:, np.newaxis] * size[1] + columns
    return numbers
