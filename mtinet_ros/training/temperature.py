# SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: one number that makes a network's probabilities as sure as it is right.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section
4.2: softmax(z / T) with the T > 0 of the least negative log-likelihood on data that the network
was not trained on. No label changes by it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError

LEAST, GREATEST = 0.05, 20.0
"""Limits of a temperature; where all labels are right, or hardly any, none is best."""
_STEPS = 60
_ACCURACY = 1e-6


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """The temperature of the least negative log-likelihood, within `LEAST` and `GREATEST`.

    In 1 / T the likelihood has one optimum, where the mean logit of the true class is the one
    expected under the probabilities: Newton's steps, halving where one leads out of the bracket.

    Args:
        logits: float32 [N,C], of pixels with truth.
        labels: Class ids [N], each below C.

    Raises:
        DataError: There is no pixel, a label is no class, or a logit no finite number.

    >>> z = np.log(np.array([[0.9, 0.1]] * 4, np.float32))  # sure of the first class by 0.9
    >>> t = fit_temperature(z, np.array([0, 0, 0, 1]))  # and right in three of four
    >>> odds = np.exp(z[0] / t)
    >>> round(float(odds[0] / odds.sum()), 6)
    0.75
    """
    if not len(labels):
        raise DataError("no pixel has truth to fit the temperature to; name other data")
    if labels.max() >= logits.shape[1]:
        raise DataError(
            f"the labels have class {labels.max()}, the network {logits.shape[1]} classes; name "
            "data of the network's classes"
        )
    if not np.isfinite(logits).all():
        raise DataError("the network's logits are not finite; its weights are damaged")
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    true = float(z[np.arange(len(labels)), labels].mean())
    low, high = 1 / GREATEST, 1 / LEAST
    inverse = 1.0
    for _ in range(_STEPS):
        p = np.exp(z * inverse)
        p /= p.sum(axis=1, keepdims=True)
        mean = (p * z).sum(axis=1)
        slope = float(mean.mean()) - true  # of the likelihood's negative logarithm, in 1 / T
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        curvature = float(((p * z * z).sum(axis=1) - mean * mean).mean())
        following = inverse - slope / curvature if curvature > 0 else low
        if not low < following < high:
            following = (low * high) ** 0.5
        if abs(following - inverse) < _ACCURACY * inverse:
            break
        inverse = following
    return float(1 / inverse)


def negative_log_likelihood(
    logits: NDArray[np.float32], labels: NDArray[np.integer], temperature: float
) -> float:
    """Mean of -log of the true class's probability, in nats; arguments as for `fit_temperature`.

    >>> round(negative_log_likelihood(np.zeros((3, 4), np.float32), np.array([0, 1, 3]), 2.0), 6)
    1.386294
    """
    z = logits.astype(np.float64) / temperature
    z -= z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]).mean())


def confidence_of(logits: NDArray[np.float32], temperature: float) -> NDArray[np.uint8]:
    """Probability of the likeliest class as an exported graph gives it.

    Args:
        logits: float32 [...,C].
        temperature: T.

    Returns:
        uint8 [...]: round(255 · max softmax(logits / T)).

    >>> confidence_of(np.log(np.array([[0.8, 0.1, 0.1]], np.float32)), 1.0).tolist()
    [204]
    """
    z = (logits - logits.max(axis=-1, keepdims=True)) / np.float32(temperature)
    return np.asarray(np.floor(255.0 / np.exp(z).sum(axis=-1) + 0.5), np.uint8)
