# SPDX-License-Identifier: Apache-2.0
"""The frames of an evaluation that a model sees worst and best, kept to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import HUMAN_PARTS, voc_palette
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.model_contract import RGB, VOID_ID
from mtinet_ros.training.evaluation import DensePrediction
from mtinet_ros.training.evaluation_report import FrameFigures
from mtinet_ros.visualization.colors import LabelColors
from mtinet_ros.visualization.contact_sheet import SheetFrame, contact_sheet

WIDTH = 256
"""Pixels; of each picture in a montage."""
_WRONG: RGB = (230, 0, 0)


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One frame: what is so and what the model sees.

    Attributes:
        figures: Of the frame.
        truth: Picture and truth.
        predicted: The picture in gray with wrong labels in red, and what was predicted.
    """

    figures: FrameFigures
    truth: SheetFrame
    predicted: SheetFrame

    def montage(self, palette: tuple[RGB, ...]) -> NDArray[np.uint8]:
        """Both below each other, depths in the same colors; uint8 [h,w,3] RGB."""
        return contact_sheet([self.truth, self.predicted], palette, width=WIDTH)


@dataclass(frozen=True)
class Shelf:
    """Some frames by one figure.

    Attributes:
        title: Of what they are the worst or best, e.g. "labels, worst".
        exhibits: The most extreme first.
    """

    title: str
    exhibits: tuple[Exhibit, ...]


# What is ranked -> figures by which it is, the first that a frame has, with the sign that makes
# more of it better.
_RANKINGS: dict[str, tuple[tuple[Callable[[FrameFigures], float | None], int], ...]] = {
    "labels": ((lambda f: f.miou, 1),),
    "depth": ((lambda f: f.depth_rmse, -1), (lambda f: f.depth_abs_rel, -1)),
    "normals": ((lambda f: f.normals_mean, -1),),
    "human parts": ((lambda f: f.human_parts_miou, 1),),
    "saliency": ((lambda f: f.sal_iou, 1),),
    "edges": ((lambda f: f.edge_f, 1),),
}
_PARTS = LabelColors(voc_palette(len(HUMAN_PARTS), first=0))


class Gallery:
    """Keeps a few frames of each end of each ranking, small; memory does not grow with frames."""

    def __init__(self, count: int) -> None:
        """Keep `count` worst and as many best ones."""
        self._count = count
        self._worst: dict[str, list[tuple[float, Exhibit]]] = {}
        self._best: dict[str, list[tuple[float, Exhibit]]] = {}

    def offer(self, figures: FrameFigures, sample: Sample, prediction: DensePrediction) -> None:
        """Look at a frame, and keep it if it is more extreme than one that is kept."""
        exhibit: Exhibit | None = None
        for ranking, keys in _RANKINGS.items():
            found = ((key(figures), sign) for key, sign in keys)
            score = next((value * sign for value, sign in found if value is not None), None)
            if score is None:
                continue
            for kept, rank in (
                (self._worst.setdefault(ranking, []), score),
                (self._best.setdefault(ranking, []), -score),
            ):
                if len(kept) < self._count or rank < kept[-1][0]:
                    exhibit = exhibit or _exhibit(figures, sample, prediction)
                    kept.append((rank, exhibit))
                    kept.sort(key=lambda entry: entry[0])  # stable: of equals the first stays
                    del kept[self._count :]

    def shelves(self) -> list[Shelf]:
        """What is kept; a frame that is already among the worst is not among the best."""
        shelves = []
        for ranking, worst in self._worst.items():
            names = {exhibit.figures.name for _, exhibit in worst}
            best = [e for _, e in self._best[ranking] if e.figures.name not in names]
            shelves.append(Shelf(f"{ranking}, worst", tuple(e for _, e in worst)))
            if best:
                shelves.append(Shelf(f"{ranking}, best", tuple(best)))
        return shelves


def _exhibit(figures: FrameFigures, sample: Sample, prediction: DensePrediction) -> Exhibit:
    height, width = sample.image.shape[:2]
    size = (WIDTH, max(1, round(WIDTH * height / width)))
    depth = prediction.depth
    if depth is not None and not prediction.depth_is_metric:
        # In the truth's metres, so that equal colors are equal depths.
        depth = depth * np.float32(figures.depth_scale or np.nan)
    targets = sample.targets
    further = {
        "human_parts": prediction.human_parts,
        "sal": prediction.sal,
        "edge": prediction.edge,
    }
    shown = {t: array for t, array in further.items() if array is not None and t in targets}
    return Exhibit(
        figures,
        SheetFrame(
            _smaller(sample.image, size),
            _picked(targets.get("semseg"), size, np.uint8),
            _picked(targets.get("depth"), size, np.float32),
            _picked(targets.get("normals"), size, np.float32),
            {task: _pictured(task, targets[task], size) for task in shown},
        ),
        SheetFrame(
            _smaller(_marked(sample.image, targets.get("semseg"), prediction.labels), size),
            _picked(prediction.labels, size, np.uint8),
            _picked(depth, size, np.float32),
            _picked(prediction.normals, size, np.float32),
            {task: _pictured(task, array, size) for task, array in shown.items()},
        ),
    )


def _marked(
    image: NDArray[np.uint8], truth: NDArray[np.generic] | None, labels: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """The picture in gray, wrong labels in red, unknown truth darkened."""
    if truth is None or labels is None:
        return image
    marked = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    known = truth != VOID_ID
    wrong = known & (truth != labels)
    marked[wrong] = marked[wrong] // 2 + np.array(_WRONG, np.uint8) // 2
    marked[~known] //= 3
    return np.asarray(marked, np.uint8)


def _pictured(task: str, array: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Parts of people in colors, probabilities and truth in gray; unknown is black."""
    if task == "human_parts":
        return _PARTS.colorize(np.asarray(_picked(array, size, np.uint8), np.uint8))
    is_known = array != VOID_ID
    gray = np.where(is_known, 255 * array.astype(np.float32), 0).astype(np.uint8)
    return np.asarray(cv2.cvtColor(_smaller(gray, size), cv2.COLOR_GRAY2RGB), np.uint8)


def _smaller(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _picked(
    array: NDArray[np.generic] | None, size: tuple[int, int], dtype: type
) -> NDArray[Any] | None:
    """Nearest pixels: classes, depths and directions have no meaning in between."""
    if array is None:
        return None
    picked = cv2.resize(np.asarray(array, dtype), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(picked, dtype)
