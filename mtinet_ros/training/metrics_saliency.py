# SPDX-License-Identifier: Apache-2.0
"""Saliency as MTI-Net's literature measures it: means over images, at the best threshold.

The threshold is chosen on the very set that is reported, for F and for IoU apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from mtinet_ros.model_contract import VOID_ID

THRESHOLDS = tuple(np.linspace(0.2, 0.9, 15).tolist())
"""Thresholds of the probability (authors' evaluation)."""

PRECISION_WEIGHTED = 0.3
"""β² of the F-measure in the literature on saliency (Achanta et al., CVPR 2009, Sec. 5)."""


def saliency_rates(
    probability: Tensor, truth: Tensor, thresholds: Sequence[float] = THRESHOLDS
) -> Tensor | None:
    """IoU, precision and recall of one image by threshold.

    Args:
        probability: That a pixel is salient, any shape.
        truth: 0 or 1, `VOID_ID` where unknown, same shape.
        thresholds: A pixel is salient above.

    Returns:
        float64 [3, thresholds]; None where no pixel is known. An image without salient pixels in
        truth and prediction has an IoU of 1, and precision and recall of 0 (authors' evaluation).

    >>> saliency_rates(torch.tensor([0.9, 0.6, 0.1]), torch.tensor([1, 0, 1]), (0.5,)).tolist()
    [[0.3333333333333333], [0.5], [0.5]]
    """
    known = truth != VOID_ID
    if not known.any():
        return None
    limits = torch.tensor(thresholds, dtype=torch.double, device=truth.device)[:, None]
    above, salient = probability[known].double() > limits, truth[known] == 1
    hits = (above & salient).sum(1).double()
    predicted, true = above.sum(1).double(), salient.sum().double()
    union = predicted + true - hits
    iou = torch.where(union > 0, hits / union.clamp(min=1), 1.0)
    return torch.stack([iou, hits / predicted.clamp(min=1), hits / true.clamp(min=1)])


def saliency_figures(rates: Tensor) -> dict[str, float]:
    """Figures from `saliency_rates` averaged over images.

    Returns:
        `miou`: the largest IoU over the thresholds; `maxf`: the largest F of mean precision and
        mean recall, both weighted alike, as the authors' code computes it; `maxf_weighted`: the
        same with β² = 0.3, which most papers on saliency mean by maxF.

    >>> figures = saliency_figures(torch.tensor([[0.5, 0.4], [0.8, 0.9], [0.6, 0.3]]))
    >>> [round(figures[name], 4) for name in ("miou", "maxf", "maxf_weighted")]
    [0.5, 0.6857, 0.7429]
    """
    iou, precision, recall = rates.double()

    def largest(weight: float) -> float:
        f = (1 + weight) * precision * recall / (weight * precision + recall).clamp(min=1e-12)
        return float(f.max())

    return {
        "miou": float(iou.max()),
        "maxf": largest(1.0),
        "maxf_weighted": largest(PRECISION_WEIGHTED),
    }


class SaliencyMetric(Metric):
    """Largest F-measure and IoU over thresholds, of means over images."""

    sums: Tensor
    images: Tensor

    def __init__(self, thresholds: Sequence[float] = THRESHOLDS) -> None:
        """Start at nothing, with the thresholds of `saliency_rates`."""
        super().__init__()
        self.thresholds = tuple(thresholds)
        self.add_state(
            "sums", torch.zeros(3, len(self.thresholds), dtype=torch.double), dist_reduce_fx="sum"
        )
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images: probabilities and truth (see `saliency_rates`), [..., H, W]."""
        size = truth.shape[-2:]
        images = zip(predicted.reshape(-1, *size), truth.reshape(-1, *size), strict=True)
        for probability, true in images:
            rates = saliency_rates(probability, true, self.thresholds)
            if rates is not None:
                self.sums += rates
                self.images += 1

    def compute(self) -> dict[str, float]:
        """See `saliency_figures`; empty without truth."""
        return saliency_figures(self.sums / self.images) if self.images else {}
