# SPDX-License-Identifier: Apache-2.0
"""Sums over the frames of a split, of whatever kinds of truth it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.check_report import QUANTILES, SplitReport
from mtinet_ros.datasets.class_sets import HUMAN_PARTS
from mtinet_ros.datasets.depth_normals import normals_from_depth
from mtinet_ros.datasets.sample import Sample, SampleSource
from mtinet_ros.model_contract import VOID_ID

FITTED_FRAMES = 8
"""Frames of a split whose normals are compared with planes fitted to the depth."""


class CheckedSamples(SampleSource, Protocol):
    """A split whose files are known by name.

    Attributes:
        split: "train", "val" or "test".
        names: Of its frames.
        tasks: That it has truth of.
    """

    split: str
    names: list[str]
    tasks: tuple[str, ...]

    def files(self, name: str) -> list[Path]:
        """The picture of a frame, first, and the files of its truth."""
        ...

    def missing_files(self) -> list[Path]:
        """Files that should be there and are not."""
        ...


class Statistics:
    """Sums over the frames of a split."""

    def __init__(self, samples: CheckedSamples, depth_step: float = 0.0) -> None:
        """Begin with no frame.

        Args:
            samples: The split.
            depth_step: Distance of two depths that its files can tell apart, metres; 0: exact.
        """
        self._samples = samples
        self._depth_step = depth_step
        self._read = 0
        self._classes = _Histogram()
        self._parts = _Histogram()
        self._depths: list[NDArray[np.float32]] = []
        self._extremes: list[tuple[float, float]] = []
        self._counts = dict.fromkeys(
            ("all", "depth", "normals", "away", "edge", "edge_known", "with_parts", "sal"), 0
        )
        self._angles: list[float] = []
        self.floors: list[float] = []
        """Median of the downward component of the normals of floors, by frame that has any."""

    def add(self, sample: Sample) -> None:
        """Count a frame."""
        self._read += 1
        counts, targets = self._counts, sample.targets
        counts["all"] += sample.image.shape[0] * sample.image.shape[1]
        if "semseg" in targets:
            self._classes.add(np.asarray(targets["semseg"], np.uint8))
        if "human_parts" in targets:
            parts = np.asarray(targets["human_parts"], np.uint8)
            if (parts != VOID_ID).any():
                counts["with_parts"] += 1
                self._parts.add(parts)
        if "depth" in targets:
            depth = np.asarray(targets["depth"], np.float32)
            known = depth[depth > 0]
            counts["depth"] += known.size
            if known.size:
                self._extremes.append((float(known.min()), float(known.max())))
            self._depths.append(known[::49])
        if "sal" in targets:
            counts["sal"] += int((targets["sal"] == 1).sum())
        if "normals" in targets:
            counts["normals"] += int((targets["normals"] != 0).any(axis=-1).sum())
            counts["away"] += int((targets["normals"][..., 2] > 0).sum())
            self._compare_normals(sample)
        if "edge" in targets:
            counts["edge"] += int((targets["edge"] == 1).sum())
            counts["edge_known"] += int((targets["edge"] != VOID_ID).sum())

    def _compare_normals(self, sample: Sample) -> None:
        """With planes fitted to the depth, in some frames; those of floors in all."""
        normals = np.asarray(sample.targets["normals"], np.float32)
        known = (normals != 0).any(axis=-1)
        names = self._samples.class_names
        if "semseg" in sample.targets and "floor" in names:
            floor = known & (sample.targets["semseg"] == names.index("floor"))
            if floor.any():
                self.floors.append(float(np.median(normals[floor][:, 1])))
        every = max(1, len(self._samples) // FITTED_FRAMES)
        if "depth" not in sample.targets or sample.intrinsics is None or self._read % every:
            return
        depth = np.asarray(sample.targets["depth"], np.float32)
        fitted = normals_from_depth(depth, sample.intrinsics, self._depth_step)
        both = known & (fitted != 0).any(axis=-1)
        if both.any():
            cosine = (normals[both] * fitted[both]).sum(axis=-1).clip(-1, 1)
            self._angles.append(float(np.degrees(np.median(np.arccos(cosine)))))

    def height(self, label: int) -> float:
        """Mean row of a class's pixels as a share of the pictures' height; NaN without any."""
        pixels = self._classes.pixels[label]
        return float(self._classes.rows[label] / pixels) if pixels else float("nan")

    def report(self) -> SplitReport:
        """The statistics."""
        samples, counts = self._samples, self._counts
        every = max(counts["all"], 1)
        report = SplitReport(len(samples), self._read, samples.tasks)
        report.share, report.shown = self._classes.by_name(samples.class_names)
        report.unlabelled = float(self._classes.pixels[VOID_ID] / every)
        report.part_share, report.part_shown = self._parts.by_name(HUMAN_PARTS)
        report.with_parts = counts["with_parts"]
        report.salient = counts["sal"] / every
        report.depth_unknown = 1 - counts["depth"] / every
        if self._extremes:
            near, far = min(n for n, _ in self._extremes), max(f for _, f in self._extremes)
            middle = np.quantile(np.concatenate(self._depths), QUANTILES)
            report.depth = [near, *(float(value) for value in middle), far]
        report.normals_known = counts["normals"] / every
        report.normals_away = counts["away"] / max(counts["normals"], 1)
        report.normals_angle = float(np.median(self._angles)) if self._angles else float("nan")
        report.edge = counts["edge"] / max(counts["edge_known"], 1)
        report.edge_unknown = 1 - counts["edge_known"] / every
        return report


class _Histogram:
    """Pixels, frames and rows by id."""

    def __init__(self) -> None:
        self.pixels = np.zeros(256, np.int64)
        self.shown = np.zeros(256, np.int64)
        self.rows = np.zeros(256)

    def add(self, ids: NDArray[np.uint8]) -> None:
        found = np.bincount(ids.ravel(), minlength=256)
        self.pixels += found
        self.shown += found > 0
        rows, columns = ids.shape
        heights = np.repeat((np.arange(rows) + 0.5) / rows, columns)
        self.rows += np.bincount(ids.ravel(), heights, minlength=256)

    def by_name(self, names: Sequence[str]) -> tuple[dict[str, float], dict[str, int]]:
        """Share of the named pixels, and frames, of each name that occurs."""
        named = int(self.pixels[: len(names)].sum())
        there = [number for number in range(len(names)) if self.pixels[number]]
        return (
            {names[n]: float(self.pixels[n] / named) for n in there},
            {names[n]: int(self.shown[n]) for n in there},
        )
