# SPDX-License-Identifier: Apache-2.0
"""Edge detection as the BSDS benchmark measures it: thinned, matched one to one, one threshold.

Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness,
color, and texture cues" (PAMI 2004), Sec. 3.2; `odsF` of MTI-Net's literature. A predicted edge
pixel and a true one can be paired if they are close enough; the largest number of such pairs, each
pixel in one at most, is what is right. Counts are summed over images before the best threshold is
chosen.

The benchmark's own program solves an assignment problem that pairs as many pixels as possible and,
among such pairings, prefers near ones; here pairs are only counted, so the second part is left
out. Its graph is drawn in part at random: built by pyEdgeEval 0.2.8, it finds up to 0.2 % fewer
pairs on outlines of some thousand pixels, and others in every run. These counts are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from mtinet_ros.datasets.thinning import thinned
from mtinet_ros.model_contract import VOID_ID

MAX_DISTANCE = 0.0075
"""Largest distance of a pair, as a share of the image's diagonal (BSDS, PASCAL)."""

THRESHOLDS = tuple(number / 100 for number in range(1, 100))
"""Thresholds of the probability, 0.01 to 0.99."""

_Mask = NDArray[np.bool_]
_Indices = NDArray[np.int64]


def count_pairs(predicted: _Mask, truth: _Mask, radius: float) -> int:
    """Size of a largest pairing of predicted with true pixels at most `radius` pixels apart.

    Args:
        predicted: bool [H, W].
        truth: bool [H, W].
        radius: Pixels.

    >>> count_pairs(np.array([[1, 1, 0, 0, 1]], bool), np.array([[0, 0, 1, 0, 0]], bool), 2)
    1
    """
    return _Pairing(truth, radius).count(predicted)


class _Pairing:
    """Counts pairs of one image's truth with several predictions."""

    def __init__(self, truth: _Mask, radius: float) -> None:
        reach = int(radius)
        offsets = np.arange(-reach, reach + 1)
        rows, columns = (axis.ravel() for axis in np.meshgrid(offsets, offsets, indexing="ij"))
        squares = rows**2 + columns**2
        near = np.argsort(squares, kind="stable")
        near = near[squares[near] <= radius**2]
        # A margin as wide as the reach, so that no neighbour of a pixel wraps around.
        height, width = truth.shape
        self._reach, self._row = reach, width + 2 * reach
        number = np.full((height + 2 * reach, self._row), -1, np.int64)
        self.true = int(np.count_nonzero(truth))
        number[reach : reach + height, reach : reach + width][truth] = np.arange(self.true)
        self._number = number.ravel()
        self._steps = rows[near] * self._row + columns[near]

    def count(self, predicted: _Mask) -> int:
        """Number of pairs; see `count_pairs`."""
        rows, columns = np.nonzero(predicted)
        places = (rows + self._reach) * self._row + columns + self._reach
        candidates = self._number[places[:, None] + self._steps]
        candidates = candidates[(candidates >= 0).any(1)]
        if not len(candidates):
            return 0
        partner, of_true = self._nearest_first(candidates)
        nodes, slots = np.nonzero(candidates >= 0)
        targets = candidates[nodes, slots]
        first = np.searchsorted(nodes, np.arange(len(candidates) + 1))
        while _augment(first, targets, partner, of_true):
            pass
        return int(np.count_nonzero(partner >= 0))

    def _nearest_first(self, candidates: _Indices) -> tuple[_Indices, _Indices]:
        """Pairs to begin with, and the same by true pixel; -1: none."""
        partner = np.full(len(candidates), -1, np.int64)
        of_true = np.full(self.true, -1, np.int64)
        for column in candidates.T:  # of one step, so no true pixel twice
            nodes = np.flatnonzero((partner < 0) & (column >= 0))
            nodes = nodes[of_true[column[nodes]] < 0]
            partner[nodes] = column[nodes]
            of_true[column[nodes]] = nodes
        return partner, of_true


def _augment(first: _Indices, targets: _Indices, partner: _Indices, of_true: _Indices) -> bool:
    """Grow alternating trees from all unpaired pixels at once and enlarge the pairing along them.

    Args:
        first: Where a predicted pixel's candidates begin in `targets`.
        targets: True pixels.
        partner: True pixel of each predicted one, -1 for none; changed in place.
        of_true: The inverse; changed in place.

    Returns:
        Whether it grew; if not, it is as large as can be (Berge).
    """
    parent = np.full(len(of_true), -1, np.int64)  # predicted pixel from which a true one was met
    frontier = np.flatnonzero(partner < 0)
    root = np.full(len(partner), -1, np.int64)
    root[frontier] = frontier
    is_done = np.zeros(len(partner), np.bool_)
    ends: list[_Indices] = []
    while len(frontier):
        sizes = first[frontier + 1] - first[frontier]
        sources = np.repeat(frontier, sizes)
        starts = np.repeat(first[frontier] - (np.cumsum(sizes) - sizes), sizes)
        met = targets[starts + np.arange(len(sources))]
        fresh = parent[met] < 0
        met, sources = met[fresh], sources[fresh]
        parent[met] = sources  # of several, the last one written
        met = met[parent[met] == sources]
        free = met[of_true[met] < 0]
        _, one_each = np.unique(root[parent[free]], return_index=True)
        ends.append(free[one_each])
        is_done[root[parent[free]]] = True
        taken = met[of_true[met] >= 0]
        following = of_true[taken]
        root[following] = root[parent[taken]]
        frontier = following[~is_done[root[following]]]
    current = np.concatenate(ends) if ends else np.empty(0, np.int64)
    grew = bool(len(current))
    while len(current):  # the paths share no pixel, for each lies in a tree of its own
        nodes = parent[current]
        before = partner[nodes]
        partner[nodes] = current
        of_true[current] = nodes
        current = before[before >= 0]
    return grew


def edge_counts(
    probability: NDArray[np.floating],
    truth: NDArray[np.generic],
    thresholds: Sequence[float] = THRESHOLDS,
    max_distance: float = MAX_DISTANCE,
) -> NDArray[np.int64]:
    """Counts of one image by threshold.

    Args:
        probability: Of an edge, [H, W].
        truth: [H, W], 1 on edges, taken as they are and not thinned; 0 elsewhere; `VOID_ID` where
            unknown, and where nothing predicted counts.
        thresholds: A pixel is an edge from there on.
        max_distance: See `MAX_DISTANCE`.

    Returns:
        int64 [thresholds, 3]: pairs, predicted pixels after thinning, true pixels.

    >>> edge_counts(np.array([[0.9, 0.2, 0.0]]), np.array([[1, 0, 0]]), (0.1, 0.5)).tolist()
    [[1, 2, 1], [1, 1, 1]]
    """
    true, known = truth == 1, truth != VOID_ID
    pairing = _Pairing(true, max_distance * math.hypot(*true.shape))
    counts = np.zeros((len(thresholds), 3), np.int64)
    before: tuple[_Mask, NDArray[np.int64]] | None = None
    for row, threshold in zip(counts, thresholds, strict=True):
        edges = probability >= threshold
        if before is not None and np.array_equal(before[0], edges):
            row[:] = before[1]
            continue
        lines = (thinned(edges) > 0) & known
        row[:] = pairing.count(lines), np.count_nonzero(lines), pairing.true
        before = edges, row
    return counts


def ods_figures(counts: Tensor, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
    """Figures from summed `edge_counts`.

    Args:
        counts: int64 [thresholds, 3].
        thresholds: Of the rows.

    Returns:
        `odsf`: the largest harmonic mean of precision and recall over the thresholds; `precision`,
        `recall` and `threshold` there.

    >>> figures = ods_figures(torch.tensor([[4, 10, 5], [3, 4, 5]]), (0.1, 0.5))
    >>> [round(figures[name], 4) for name in ("odsf", "precision", "recall", "threshold")]
    [0.6667, 0.75, 0.6, 0.5]
    """
    pairs, predicted, true = counts.double().unbind(1)
    # 2PR / (P + R) with P = pairs / predicted and R = pairs / true.
    f = 2 * pairs / (predicted + true).clamp(min=1)
    best = int(f.argmax())
    return {
        "odsf": float(f[best]),
        "precision": float(pairs[best] / predicted[best].clamp(min=1)),
        "recall": float(pairs[best] / true[best].clamp(min=1)),
        "threshold": thresholds[best],
    }


class EdgeMetric(Metric):
    """F-measure of edges at the one threshold that is best for the whole set (odsF)."""

    counts: Tensor

    def __init__(
        self,
        thresholds: Sequence[float] = THRESHOLDS,
        max_distance: float = MAX_DISTANCE,
    ) -> None:
        """Start at nothing.

        Args:
            thresholds: See `edge_counts`; fewer are quicker, and find a figure that is lower.
            max_distance: Likewise.
        """
        super().__init__()
        self.thresholds = tuple(thresholds)
        self.max_distance = max_distance
        self.add_state(
            "counts",
            torch.zeros(len(self.thresholds), 3, dtype=torch.long),
            dist_reduce_fx="sum",
        )

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images: probabilities and truth (see `edge_counts`), [..., H, W]."""
        size = truth.shape[-2:]
        images = zip(predicted.reshape(-1, *size), truth.reshape(-1, *size), strict=True)
        for probability, true in images:
            counts = edge_counts(
                probability.cpu().double().numpy(),
                true.cpu().numpy(),
                self.thresholds,
                self.max_distance,
            )
            self.counts += torch.from_numpy(counts).to(self.counts.device)

    def compute(self) -> dict[str, float]:
        """See `ods_figures`; empty without true edges."""
        return ods_figures(self.counts, self.thresholds) if self.counts[0, 2] else {}
